"""Synthesis of training data for vision-language models, on ms-swift.

    import mminf
    result = mminf.run("oasis", input="my_images/", output="out/oasis")
    rows = result.dataset()

Names are imported when they are first used, so that `import mminf` loads nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mminf.lazy import lazy_names

if TYPE_CHECKING:
    from mminf.api import RunResult, load, report, retry, run, show, status
    from mminf.api import list_records as list  # noqa: A004 (what the command is called)
    from mminf.content import content_folder
    from mminf.display.callback import RunProgress
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
    from mminf.shortcuts import arun, export, plan, preview, validate

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
    "RunProgress",
    "RunResult",
    "SourceError",
    "UnusableAnswer",
    "UsageError",
    "arun",
    "content_folder",
    "export",
    "list",
    "load",
    "plan",
    "preview",
    "read_outcomes",
    "read_recipe",
    "report",
    "retry",
    "run",
    "show",
    "status",
    "validate",
]

_HOMES = dict.fromkeys(__all__, "mminf.errors")
_HOMES |= dict.fromkeys(("RunResult", "load", "report", "retry", "run", "show", "status"), "mminf.api")
_HOMES |= dict.fromkeys(("arun", "export", "plan", "preview", "validate"), "mminf.shortcuts")
_HOMES |= {"list": "mminf.api:list_records", "RunProgress": "mminf.display.callback"}
_HOMES |= {"read_outcomes": "mminf.history", "read_recipe": "mminf.inspection", "content_folder": "mminf.content"}
_HOMES["AskAgain"] = "mminf.errors"  # the name of earlier versions

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> Iterable[str]:
    return [*__all__, "__version__"]
