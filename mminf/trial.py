"""Tries a recipe before it is run over a whole input: its plan, a preview, and a probe with an estimate of its cost."""

from __future__ import annotations

import contextlib
from pathlib import Path

from mminf.engine.peek import count_input
from mminf.engine.previews import PreviewedRecord
from mminf.engine.probe import ProbeResult
from mminf.engine.run import Run, open_run
from mminf.errors import SourceError
from mminf.executor.probe import run_preview, run_probe
from mminf.recipe.model import Recipe


def describe_plan(recipe: Recipe, *, limit: int | None = None) -> str:
    """Returns what a run of the recipe would do, as text. The input is counted, if that is possible without reading it.

    Args:
        limit: number of records of the source that are taken.

    Raises:
        UsageError: if the input lacks fields that the steps read, or its file with marks is broken.
    """
    from mminf.display.plan import plan_text

    if recipe.source is not None:
        with contextlib.suppress(SourceError):  # the plan says so
            open_run(recipe, Path("out") / recipe.name).check_input()
    return plan_text(recipe, count_input(recipe, limit))


def probe(prepared: Run, *, records: int = 30, progress: bool = False) -> ProbeResult:
    """Runs some records of the input, and estimates the cost of the whole run. The run resumes from their outcomes.

    Args:
        records: number of records; they are drawn over the whole input.
        progress: show it on stderr.

    Raises:
        UsageError: if it can't run, or all records fail in the same way.
    """
    return run_probe(prepared, records, progress=progress)


def preview(prepared: Run, *, records: int = 3) -> list[PreviewedRecord]:
    """Runs the first records of the input through all steps, and returns what each step has written.

    Raises:
        UsageError: if it can't run.
    """
    return run_preview(prepared, records)
