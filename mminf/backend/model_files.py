"""A model's files: where they are, whether they bring code, how its tokens read."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mminf.backend.builtin import find_model, is_builtin


def resolve_model(model: str, revision: str | None) -> str:
    """Returns the local folder of a model, downloading it if it is on a hub.

    Raises:
        EngineError: if there is no such model.
    """
    folder = resolve_local(model)
    if Path(folder).is_dir():
        return folder
    from swift.utils import safe_snapshot_download

    return str(safe_snapshot_download(model, revision=revision))


def resolve_local(model: str) -> str:
    """Returns the local folder of a model, whether it is there or not."""
    if is_builtin(model):
        return str(find_model(model).folder)
    return str(Path(model).expanduser())


def find_remote_code(folder: str) -> str | None:
    """Returns the file of a model that asks for the model's own Python code to be run, or None."""
    for path in sorted(Path(folder).glob("*config.json")):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if json.loads(path.read_text(encoding="utf-8")).get("auto_map"):
                return path.name
    return None


def show_tokens(tokenizer: Any, ids: list[int]) -> str:
    """Returns the text of tokens, special ones included; n equal image tokens in a row are shown as one with `×n`."""
    shown: list[tuple[int | None, str]] = []
    for token, run in itertools.groupby(ids):
        count = len(list(run))
        if count > 3:
            shown.append((None, f"{tokenizer.decode([token])}×{count}"))
        else:
            shown.extend([(token, "")] * count)
    text = ""
    for plain, group in itertools.groupby(shown, key=lambda item: item[0] is not None):
        items = list(group)
        text += tokenizer.decode([item[0] for item in items]) if plain else "".join(item[1] for item in items)
    return text


@contextlib.contextmanager
def remote_code(trusted: bool) -> Iterator[None]:
    """ms-swift trusts a model's code unless its loaders are told otherwise."""
    import_quietly()
    from swift.model import ModelLoader

    before = ModelLoader.default_trust_remote_code
    ModelLoader.default_trust_remote_code = trusted
    try:
        yield
    finally:
        ModelLoader.default_trust_remote_code = before


def import_quietly() -> None:
    """Imports ms-swift and transformers so that they print errors only, unless LOG_LEVEL asks for more.

    ms-swift reads LOG_LEVEL when it is imported, and logs its whole configuration at INFO.
    """
    if "LOG_LEVEL" in os.environ:
        return
    os.environ["LOG_LEVEL"] = "ERROR"
    try:
        from swift.utils import get_logger
        from transformers.utils import logging

        get_logger().setLevel("ERROR")
    finally:
        del os.environ["LOG_LEVEL"]
    logging.set_verbosity_error()
    logging.disable_progress_bar()
