"""Functions that take a recipe by its name or path with the options of `load`: what notebooks and scripts call."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mminf import api
from mminf.display.callback import RunProgress
from mminf.engine.previews import PreviewedRecord
from mminf.engine.result import RunResult
from mminf.recipe.model import Recipe
from mminf.sink.base import Written


def validate(recipe: str | Path, **options: Any) -> Recipe:
    """Reads and checks a recipe; no model is loaded, and the input is not read.

    Args:
        options: as for `load`.

    Raises:
        UsageError: if the recipe is invalid; the message lists all problems.
    """
    loaded = api.load(recipe, **{"peek": False, **options})
    api.check(loaded)
    return loaded


def plan(recipe: str | Path | Recipe, *, limit: int | None = None, **options: Any) -> str:
    """Returns what a run would do, as text: stages, model loads, and the number of calls.

    Args:
        limit: number of records of the source that are taken.
        options: as for `load`.

    Raises:
        UsageError: if the recipe is invalid.
    """
    return api.describe_plan(_loaded(recipe, options), limit=limit)


def preview(
    recipe: str | Path | Recipe, *, records: int = 3, output: str | Path | None = None, **options: Any
) -> list[PreviewedRecord]:
    """Runs the first records of the input through all steps, and returns what each step has written.

    Args:
        output: output of the later run, which finds the answers there; by default, none is kept.
        options: as for `load`.

    Raises:
        UsageError: if it can't run.
    """
    loaded = _loaded(recipe, options)
    with tempfile.TemporaryDirectory(prefix="mminf-preview-") as folder:
        return api.preview(api.prepare(loaded, output=output or folder), records=records)


def export(recipe: str | Path | Recipe, output: str | Path, *, to: str | Path | None = None, force: bool = False,
           marks: str | Path | None = None, **options: Any) -> list[Written]:  # fmt: skip
    """Writes a recipe's datasets from what a journal contains, finished or not.

    Args:
        output: output of the run.
        to: folder for the datasets; by default the output of the run, which must then be writable.
        force: also replace files that mminf did not write, and larger datasets.
        marks: file with marks, as `mminf view` writes it; records get the fields `mark` and `note`.
        options: as for `load`.

    Raises:
        UsageError: if there is no run, it has other steps, or a dataset can't be written.
    """
    return api.export(_loaded(recipe, options), output, to=to, force=force, marks=marks)


async def arun(
    recipe: str | Path | Recipe,
    *,
    output: str | Path | None = None,
    limit: int | None = None,
    progress: bool | Callable[[RunProgress], None] = False,
    force: bool = False,
    **options: Any,
) -> RunResult:
    """Runs a recipe like `run`, while the caller's event loop goes on. If it is cancelled, the run drains.

    A run that was cancelled waits for the calls in flight, for 10 seconds; the next run resumes it.

    Args:
        output: folder for the journal and the datasets; `out/<recipe>` by default.
        limit: number of records of the source that are taken.
        progress: show it on stderr, or call a function with it every second.
        force: also replace files that mminf did not write, and larger datasets.
        options: as for `load`.

    Raises:
        UsageError: if it can't run; progress is saved in the journal.
    """
    prepared = await asyncio.to_thread(
        lambda: api.prepare(_loaded(recipe, options), output=output, limit=limit, force=force)
    )
    work = asyncio.ensure_future(asyncio.to_thread(api.execute, prepared, progress=progress))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():  # it may not have begun yet
            prepared.session.interrupt()
            await asyncio.wait([work], timeout=0.2)
        raise


def _loaded(recipe: str | Path | Recipe, options: dict[str, Any]) -> Recipe:
    return recipe if isinstance(recipe, Recipe) else api.load(recipe, **options)
