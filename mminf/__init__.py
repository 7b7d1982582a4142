"""Synthesis of training data for vision-language models, on ms-swift.

    import mminf
    result = mminf.run("oasis", input="my_images/", output="out/oasis")

Names are imported when they are first used, so that `import mminf` loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mminf.lazy import lazy_names

if TYPE_CHECKING:
    from mminf.api import RunResult, load, run, status
    from mminf.content import content_folder
    from mminf.errors import (
        EngineError,
        ImageError,
        JournalError,
        MminfError,
        OutputError,
        PluginError,
        RecipeError,
        RecordError,
        SourceError,
        UnusableAnswer,
        UsageError,
    )
    from mminf.history import read_outcomes
    from mminf.inspection import read_recipe

__version__ = "0.1.0"

__all__ = [
    "EngineError",
    "ImageError",
    "JournalError",
    "MminfError",
    "OutputError",
    "PluginError",
    "RecipeError",
    "RecordError",
    "RunResult",
    "SourceError",
    "UnusableAnswer",
    "UsageError",
    "content_folder",
    "load",
    "read_outcomes",
    "read_recipe",
    "run",
    "status",
]

_HOMES = dict.fromkeys(__all__, "mminf.errors")
_HOMES |= dict.fromkeys(("RunResult", "load", "run", "status"), "mminf.api")
_HOMES |= {"read_outcomes": "mminf.history", "read_recipe": "mminf.inspection"}
_HOMES["content_folder"] = "mminf.content"
_HOMES["AskAgain"] = "mminf.errors"  # the name of earlier versions

__getattr__ = lazy_names(__name__, _HOMES)
