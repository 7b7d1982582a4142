"""Synthesis of training data for vision-language models, on ms-swift.

    import mminf
    result = mminf.run("oasis", input="my_images/", output="out/oasis")

Names are imported when they are first used, so that `import mminf` loads nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mminf.api import RunResult, load, run, status
    from mminf.errors import AskAgain, MminfError, RecordError
    from mminf.recipe.config import StepConfig
    from mminf.record import Record
    from mminf.step.base import Context, DatasetStep, Drop, Outcome, Step, step

__version__ = "0.1.0"

_HOMES = {
    "mminf.api": ("RunResult", "load", "run", "status"),
    "mminf.errors": ("AskAgain", "MminfError", "RecordError"),
    "mminf.recipe.config": ("StepConfig",),
    "mminf.record": ("Record",),
    "mminf.step.base": ("Context", "DatasetStep", "Drop", "Outcome", "Step", "step"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AskAgain",
    "Context",
    "DatasetStep",
    "Drop",
    "MminfError",
    "Outcome",
    "Record",
    "RecordError",
    "RunResult",
    "Step",
    "StepConfig",
    "load",
    "run",
    "status",
    "step",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mminf' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
