"""Python code that comes with a model."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from mminf.backend.model_files import import_quietly


def find_remote_code(folder: str) -> str | None:
    """Returns the file of a model that asks for the model's own Python code to be run, or None."""
    for path in sorted(Path(folder).glob("*config.json")):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if json.loads(path.read_text(encoding="utf-8")).get("auto_map"):
                return path.name
    return None


@contextlib.contextmanager
def remote_code(trusted: bool) -> Iterator[None]:
    """Sets meanwhile whether ms-swift runs a model's code: its loaders trust it unless told otherwise."""
    import_quietly()
    from swift.model import ModelLoader

    before = ModelLoader.default_trust_remote_code
    ModelLoader.default_trust_remote_code = trusted
    try:
        yield
    finally:
        ModelLoader.default_trust_remote_code = before
