"""Remote code: Python code in a model's repository."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from mminf.backend.model_files import import_quietly


def find_remote_code(folder: str) -> str | None:
    """Returns the file of a model that requires remote code, or None."""
    for path in sorted(Path(folder).glob("*config.json")):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if json.loads(path.read_text(encoding="utf-8")).get("auto_map"):
                return path.name
    return None


def explain_remote_code(model: str, file: str) -> str:
    """Returns what a user does about a model that requires remote code, which one of its files names."""
    how = "set the engine's `trust_remote_code: true` if you trust the code"
    return f"model {model!r} requires remote code ({file}); " + how


@contextlib.contextmanager
def remote_code(trusted: bool) -> Iterator[None]:
    """Sets whether ms-swift runs remote code in the context; by default its loaders do."""
    import_quietly()
    from swift.model import ModelLoader

    before = ModelLoader.default_trust_remote_code
    ModelLoader.default_trust_remote_code = trusted
    try:
        yield
    finally:
        ModelLoader.default_trust_remote_code = before
