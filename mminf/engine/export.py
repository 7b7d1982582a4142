"""Writes the datasets of a run from its journal, finished or not."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mminf.engine.output import check_targets, read_marker, write_marker
from mminf.engine.result import open_sinks, write_sinks
from mminf.engine.run import Run, open_run
from mminf.errors import JournalError
from mminf.journal import Journal
from mminf.journal.folders import list_shards
from mminf.journal.mirror import copied
from mminf.journal.schema import FILE
from mminf.marks import Mark, MarkColumns, read_marks
from mminf.recipe.model import Recipe
from mminf.sink.base import Written
from mminf.sink.placing import Guard
from mminf.states import RunState
from mminf.storage import is_remote

log = logging.getLogger("mminf")
_MODEL = ("model", "revision", "adapters", "reasoning", "max_pixels")
"""Settings of an engine that say which answers it gives."""


def export_run(
    recipe: Recipe, output: Path, *, to: Path | None = None, force: bool = False, marks: Path | None = None
) -> list[Written]:
    """Writes a recipe's datasets from the journal in an output.

    Args:
        to: folder for the datasets; by default the output.
        force: see `RunPlan`.
        marks: file with marks, which become the fields `mark` and `note` of the records.

    Raises:
        JournalError: if there is no run, or the recipe has other steps, models or another seed than the run.
        OutputError: if a dataset can't be written, or would replace a file that mminf did not write.
    """
    run = open_run(recipe, output, force=force)
    given = None if marks is None else read_marks(marks)
    with copied(output) if is_remote(output) else contextlib.nullcontext(output) as folder:
        if not (folder / FILE).is_file() and list_shards(output):
            raise JournalError(f"{output} contains shards that are not merged yet: `mminf merge` writes the datasets")
        with Journal(folder) as journal:
            if list_shards(folder):
                log.warning("%s contains shards that are not merged; their records are left out", output)
            return _export(run, journal, output if to is None else to, given)


def _export(run: Run, journal: Journal, to: Path, marks: Mapping[str, Mark] | None) -> list[Written]:
    plan = run.plan
    if plan.names != journal.meta.stages:
        raise JournalError(
            f"the run in {run.target} had other steps than {plan.recipe.path} has now; "
            "give the recipe that the run was made with, with the same --profile and --set"
        )
    if changed := find_changes(journal.meta.recipe, plan.recipe.resolved()):
        raise JournalError(
            f"the run in {run.target} had another {changed} than {plan.recipe.path} has now, so that its rows are not "
            "those of this recipe; run the recipe first (only what depends on the change is computed), or give it as "
            "the run had it, with the same --profile and --set"
        )
    if not plan.force:
        check_targets(to, open_sinks(plan.recipe, to))
    partial = journal.meta.state is not RunState.FINISHED or journal.outcomes.has_failures()
    own = to == run.target
    noted = {} if is_remote(to) else read_marker(to)
    known = noted | journal.meta.datasets if own or is_remote(to) else noted
    guard = Guard(failed=partial, force=plan.force, rows=known)
    written = write_sinks(
        plan, to, journal, run.source.policy(), guard=guard, marks=None if marks is None else MarkColumns(marks)
    )
    if not is_remote(to):
        split = plan.recipe.run.split
        write_marker(to, written, None if split is None else split.model_dump(mode="json"))
    return written


def find_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Returns what two resolved recipes with the same steps differ in, if their rows depend on it, or None.

    Devices, batch sizes and addresses of servers are no difference.
    """
    now = json.loads(json.dumps(now))
    pairs = zip(before.get("steps", []), now["steps"], strict=False)
    if steps := [_step_name(other) for one, other in pairs if one != other]:
        return f"step {steps[0]!r}" if len(steps) == 1 else f"form of the steps {', '.join(map(repr, steps))}"
    if before.get("seed") != now["seed"]:
        return "seed"
    known: Mapping[str, Any] = before.get("engines", {})
    for name, config in now["engines"].items():
        for key in _MODEL:
            if config.get(key) != known.get(name, {}).get(key):
                return f"{key} of engine {name!r}"
    return None


def _step_name(described: Mapping[str, Any]) -> str:
    return next(str(part["name"]) for part in described.values() if isinstance(part, Mapping) and "name" in part)
