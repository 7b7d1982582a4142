"""Writes the datasets of a run from its journal, finished or not."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from mminf.backend.base import SPEED_ONLY
from mminf.engine.counts import outcomes_digest
from mminf.engine.output import check_targets, input_of, known_failures, known_input, read_marker, write_marker
from mminf.engine.plan import RunPlan
from mminf.engine.result import open_sinks, write_sinks
from mminf.engine.run import Run, open_run
from mminf.errors import JournalError
from mminf.journal import Journal, RunMeta
from mminf.journal.folders import list_shards
from mminf.journal.kept import failed_records
from mminf.journal.mirror import copied
from mminf.journal.schema import FILE
from mminf.marks import Mark, MarkColumns, read_marks
from mminf.recipe.model import Recipe
from mminf.sink.base import Written
from mminf.sink.placing import Guard
from mminf.states import RunState
from mminf.step.base import AnyStep
from mminf.storage import is_remote

log = logging.getLogger("mminf")


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
    if (changed := find_changes(journal.meta, plan)) is not None:
        raise JournalError(
            f"the last run into {run.target} had {changed} than {plan.recipe.path} has now, so that its rows are not "
            "those of this recipe; run the recipe first (only what depends on the change is computed), or give it as "
            "that run had it, with the same --profile and --set"
        )
    if not journal.meta.is_finished and not journal.outcomes.count_final():
        raise JournalError(
            f"the last run into {run.target} ended before its first record, so that there is no row to write; run it "
            "again"
        )
    before, now = known_input(journal.meta), input_of(run.source)
    if before not in (None, now):
        log.warning("the rows are of %s, the input of the last run, not of %s", before, now)
    if not plan.force:
        check_targets(to, open_sinks(plan.recipe, to))
    digest, failed = outcomes_digest(journal), failed_records(journal.outcomes)  # before an active run adds more
    guard = _guard(run, journal, to, failed)
    written = write_sinks(
        plan, to, journal, run.source.policy(), guard=guard, marks=None if marks is None else MarkColumns(marks)
    )
    if not is_remote(to):
        split = plan.recipe.run.split
        settings = None if split is None else split.model_dump(mode="json")
        write_marker(to, written, settings, digest, failed)
    return written


def _guard(run: Run, journal: Journal, to: Path, failed: list[str] | None) -> Guard:
    """Returns the rules for replacing datasets in a folder.

    Args:
        failed: ids of the records that have failed; None if there are too many.
    """
    own, partial = to == run.target, journal.meta.state is not RunState.FINISHED
    noted = {} if is_remote(to) else read_marker(to)
    known = noted | journal.meta.datasets if own or is_remote(to) else noted
    same = known_failures(journal.meta, to, failed) if own and not partial else ()
    return Guard(failed=partial or failed != [], force=run.plan.force, rows=known, same=same)


def find_changes(meta: RunMeta, plan: RunPlan) -> str | None:
    """Returns what the last run had and a plan has not, if rows depend on it: "another seed"; None if there is nothing.

    What the rows of a run depend on is in the fingerprints of its stages. Runs of earlier versions of mminf have none:
    their recipes are compared.
    """
    if meta.fingerprints == [stage.fingerprint for stage in plan.stages]:
        return None
    before, now = meta.recipe, json.loads(json.dumps(plan.recipe.resolved()))
    described = zip(plan.recipe.steps, before.get("steps", []), now["steps"], strict=False)
    if steps := [step for step, one, other in described if one != other]:
        return _tell_steps(steps)
    differ = [key for key in ("seed", "early_drop") if before.get(key) != now[key]]
    for name in sorted({step.engine for step in plan.recipe.steps if step.engine is not None}):
        config, known = now["engines"][name], before.get("engines", {}).get(name, {})
        keys = sorted((config.keys() & known.keys()) - SPEED_ONLY)
        differ += [f"{key} of engine {name!r}" for key in keys if config[key] != known[key]]
    if differ:
        return f"another {differ[0]}"
    return "other models, or another version of mminf," if meta.fingerprints else None


def _tell_steps(steps: Sequence[AnyStep]) -> str:
    names = ", ".join(repr(step.name) for step in steps)
    code = " (or its plugin had other code)" if any(step.code is not None for step in steps) else ""
    return f"other settings of {'the steps' if len(steps) > 1 else 'step'} {names}{code}"
