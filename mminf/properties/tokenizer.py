"""Finds the tokenizer of a model on this machine. Nothing is downloaded."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mminf.backend.model_files import resolve_local
from mminf.errors import EngineError, UsageError

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Fast

FILE = "tokenizer.json"
REMEDY = "--tokenizer MODEL: a folder with tokenizer.json, or a model on this machine"


class Tokenizer:
    """Counts tokens with a `tokenizer.json`, without special tokens.

    Args:
        name: how the user calls it.

    Raises:
        UsageError: if the file can't be read.
    """

    def __init__(self, name: str, file: Path) -> None:
        from tokenizers import Tokenizer as Fast

        self.name = name
        try:
            self._fast: Fast = Fast.from_file(str(file))
        except Exception as error:  # the library raises plain Exceptions
            raise UsageError(f"tokenizer {file} can't be read: {error}") from error
        self._fast.no_truncation()
        self._fast.no_padding()

    def count(self, texts: list[str]) -> list[int]:
        """Returns the number of tokens of each text."""
        # A tokenizer refuses lone surrogates.
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        return [len(found.ids) for found in self._fast.encode_batch_fast(clean, add_special_tokens=False)]


def load_tokenizer(name: str) -> Tokenizer:
    """Returns the tokenizer that a user names: a folder, a file, `builtin:NAME`, or a model in the cache of a hub.

    Raises:
        UsageError: if it is not on this machine.
    """
    file = find_file(name)
    if file is None:
        raise UsageError(
            f"tokenizer {name!r} is not on this machine: there is no {FILE} in a folder of this name, or in the caches "
            f"of Hugging Face and ModelScope; download it with `hf download {name} {FILE}` or "
            f"`modelscope download --model {name} {FILE}`"
        )
    return Tokenizer(name, file)


def find_tokenizer(models: Iterable[str]) -> Tokenizer | None:
    """Returns the tokenizer of the first of a run's models that has one on this machine."""
    for name in models:
        try:
            if (file := find_file(name)) is not None:
                return Tokenizer(name, file)
        except UsageError:
            continue
    return None


def find_file(name: str) -> Path | None:
    """Returns the `tokenizer.json` of a model, or None if it is not on this machine."""
    try:
        path = Path(resolve_local(name))
    except EngineError:  # a plugin with the built-in model is missing
        return None
    if path.is_file():
        return path
    if path.is_dir():
        return path / FILE if (path / FILE).is_file() else None
    return _in_hugging_face(name) or _in_modelscope(name)


def _in_hugging_face(name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, FILE)
    except HFValidationError:  # not the name of a model
        return None
    return Path(found) if isinstance(found, str) else None


def _in_modelscope(name: str) -> Path | None:
    if name.count("/") != 1 or name.startswith((".", "/")):
        return None
    try:
        from modelscope.hub.snapshot_download import snapshot_download

        # modelscope reads the variable when it is imported, which may be earlier.
        cache = os.environ.get("MODELSCOPE_CACHE")
        folder = str(Path(cache) / "models") if cache else None
        path = Path(snapshot_download(name, cache_dir=folder, local_files_only=True)) / FILE
    except Exception:  # it is not in the cache, or modelscope is not installed
        return None
    return path if path.is_file() else None
