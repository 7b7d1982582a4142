"""Synthesis of training data for vision-language models, on ms-swift.

    import mminf
    result = mminf.run("oasis", input="my_images/", output="out/oasis")

Names are imported when they are first used, so that `import mminf` loads nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mminf.api import RunResult, load, run, status
    from mminf.errors import MminfError

__version__ = "0.1.0"

_HOME = {
    "RunResult": "mminf.api",
    "load": "mminf.api",
    "run": "mminf.api",
    "status": "mminf.api",
    "MminfError": "mminf.errors",
}

__all__ = ["MminfError", "RunResult", "load", "run", "status"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'mminf' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
