"""The Python API. The command line calls nothing else."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mminf.content import builtin_recipes, content_folder, find_recipe
from mminf.engine.output import check_targets, read_marker, rows_written, write_marker
from mminf.engine.parts import open_journals
from mminf.engine.plan import check_fields
from mminf.engine.result import RunResult, count_records, last_wanted, open_sinks, write_sinks
from mminf.engine.run import Run
from mminf.errors import EngineError, JournalError, RecordError, UsageError, nearest
from mminf.executor.local import LocalExecutor, end_children
from mminf.executor.options import RayOptions
from mminf.executor.ranks import run_rank
from mminf.executor.shard import merge_work, shard_work
from mminf.executor.torchrun import Rank
from mminf.journal import Journal, is_locked
from mminf.journal.lock import hold
from mminf.journal.merge import part_folders
from mminf.journal.mirror import Mirror, copied, is_held, list_parts
from mminf.journal.schema import FILE
from mminf.part import Part
from mminf.plugin import discover
from mminf.recipe.lines import load_document
from mminf.recipe.loader import load_recipe
from mminf.recipe.model import Recipe
from mminf.record import Record
from mminf.registry import BACKENDS, SINKS, SOURCES, STEPS
from mminf.request import Rendered, Request
from mminf.sink.base import Written
from mminf.sink.placing import Guard
from mminf.source.guess import guess_source
from mminf.storage import is_remote, to_path

log = logging.getLogger("mminf")


def load(
    recipe: str | Path,
    *,
    input: str | Path | None = None,  # noqa: A002 (what users call it)
    profile: str | None = None,
    settings: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    seed: int | None = None,
    plugins: Sequence[str] = (),
    image_root: str | Path | None = None,
) -> Recipe:
    """Reads and checks a recipe.

    Args:
        recipe: path, or name of a recipe that mminf brings along.
        input: image folder, JSON, JSONL, Parquet or dataset on disk, in place of the recipe's source.
        profile: one of the recipe's profiles.
        settings: `path.to.key=value` texts, as `--set` takes them.
        overrides: the same from Python: `{"engines.vlm.model": "..."}` or nested mappings.
        seed: of the run, in place of the recipe's.
        plugins: plugin files or modules.
        image_root: folder or URI that the rows' relative image paths start from.

    Raises:
        UsageError: saying all that is wrong.
    """
    values = dict(overrides or {})
    if seed is not None:
        values["seed"] = seed
    return load_recipe(
        find_recipe(str(recipe)),
        profile=profile,
        settings=settings,
        overrides=values,
        source=guess_source(str(input)) if input is not None else None,
        image_root=_absolute(image_root) if image_root is not None else None,
        plugins=plugins,
        templates=[content_folder("templates")],
    )


def _absolute(folder: str | Path) -> str:
    """A folder that is named on the command line is relative to where that is typed, not to the recipe."""
    path = to_path(str(folder))
    return str(path if is_remote(path) else path.resolve())


def run(
    recipe: str | Path | Recipe,
    *,
    output: str | Path | None = None,
    limit: int | None = None,
    shard: str | None = None,
    ray: RayOptions | None = None,
    progress: bool = False,
    force: bool = False,
    **options: Any,
) -> RunResult:
    """Runs a recipe, going on where an earlier run into the same output stopped.

    Args:
        recipe: path, name, or what `load` returned.
        output: folder for the journal and the datasets; `out/<recipe>` by default.
        limit: only so many records of the source.
        shard: `i/n`: only the records of this shard; `merge` puts the shards together.
        ray: work on a Ray cluster.
        progress: show it on stderr.
        force: as for `prepare`.
        options: as for `load`.

    Raises:
        UsageError: if it can't run; what is done is kept in the journal.
    """
    loaded = recipe if isinstance(recipe, Recipe) else load(recipe, **options)
    part = Part.parse(shard) if shard is not None else None
    return execute(prepare(loaded, output=output, limit=limit, force=force), progress=progress, shard=part, ray=ray)


def execute(
    prepared: Run,
    *,
    progress: bool = False,
    shard: Part | None = None,
    rank: Rank | None = None,
    ray: RayOptions | None = None,
) -> RunResult:
    """Runs what `prepare` returned.

    Args:
        shard: only the records of this part; `merge` puts the shards together.
        rank: this process is one of several that torchrun has started.
        ray: work on a Ray cluster.

    Raises:
        UsageError: if it can't go on; what is done is kept.
    """
    if rank is not None:
        return run_rank(prepared, rank, progress=progress)
    if ray is not None:
        from mminf.executor.ray_data import RayWork, join_cluster

        cluster = RayWork(ray)
        with join_cluster(ray.address):
            return LocalExecutor(cluster, cluster.watch if progress else None).execute(prepared)
    work = Run.execute if shard is None else shard_work(shard)
    return LocalExecutor(work, _watch(progress)).execute(prepared)


def merge(prepared: Run, *, progress: bool = False) -> RunResult:
    """Merges the shards of a run into its journal, runs the dataset steps behind them, and writes the datasets.

    Returns:
        The result; its state is `waiting` if the shards must be run again to go on behind a dataset step.

    Raises:
        JournalError: if a shard is missing, unfinished, or of another recipe.
    """
    return LocalExecutor(merge_work, _watch(progress)).execute(prepared)


def _watch(progress: bool) -> Callable[[Run], Callable[[], None]] | None:
    if not progress:
        return None
    from mminf.report.progress import show_progress

    return show_progress


def prepare(recipe: Recipe, *, output: str | Path | None = None, limit: int | None = None, force: bool = False) -> Run:
    """Returns a run that has been checked: input, output, fields, installed backends. Nothing is loaded or written.

    Args:
        force: replace what runs into the output have not written, what another recipe's has, and more rows by fewer.
    """
    folder = to_path(str(output)) if output is not None else Path("out") / recipe.name
    made = Run(recipe, folder, limit=limit, force=force)
    made.check()
    check_backends(recipe)
    return made


def check(recipe: Recipe) -> None:
    """Checks what can be checked without an input: that each field is provided before it is read.

    Raises:
        RecipeError: naming every field that is not.
    """
    columns = SOURCES.get(recipe.source.type).columns if recipe.source is not None else None
    check_fields(recipe, columns, open_sinks(recipe, Path("out")))


def check_backends(recipe: Recipe) -> None:
    """Raises EngineError if a backend that the recipe uses can't run here, saying what to install instead."""
    used = {step.engine for step in recipe.steps if step.engine is not None}
    for name in sorted(used):
        config = recipe.engines[name]
        if (missing := BACKENDS.get(config.backend).check_installed()) is not None:
            raise EngineError(f"engine {name!r}: {missing}")


def status(output: str | Path) -> dict[str, Any]:
    """Returns the state of a run, also while it goes on, as JSON values.

    Raises:
        JournalError: if there is none.
    """
    path = to_path(str(output))
    with open_journals(path) as journals:
        first = journals[0]
        store = path if is_remote(path) else None
        stages = json.loads(first.meta("stages") or "[]")
        steps: dict[str, dict[str, Any]] = {name: {"dropped": 0, "failed": 0} for stage in stages for name in stage}
        for journal in journals:
            for _, state, step, number in journal.counts(last_wanted(journal)):
                if step is not None and state in ("dropped", "failed"):
                    steps.setdefault(step, {"dropped": 0, "failed": 0})[state] += number
            for name, total in journal.totals().items():
                counted = steps.setdefault(name, {})
                counted.update({key: counted.get(key, 0) + value for key, value in total.items()})
        counts = count_records(*journals)
        recipe = json.loads(first.meta("recipe") or "{}")
        first_failures = itertools.chain.from_iterable(journal.failures(20) for journal in journals)
        return {
            "recipe": recipe.get("name"),
            "state": _whole_state([_state(journal, store) for journal in journals]),
            "run": first.run,
            "total": json.loads(first.meta("total") or "null"),
            "done": counts.done,
            "dropped": counts.dropped,
            "failed": counts.failed,
            "pending": counts.pending,
            "steps": steps,
            "failures": [
                {"id": record, "step": step, "reason": reason}
                for record, step, reason in itertools.islice(first_failures, 20)
            ],
            "parts": {journal.folder.name: _state(journal, store) for journal in journals if journal.base is not None},
            "versions": json.loads(first.meta("versions") or "{}"),
        }


def failures(output: str | Path) -> Iterator[dict[str, Any]]:
    """Yields id, step and reason of every record of a run that failed.

    Raises:
        JournalError: if there is no run.
    """
    with open_journals(to_path(str(output))) as journals:
        for journal in journals:
            for record, step, reason in journal.all_failures():
                yield {"id": record, "step": step, "reason": reason}


def _whole_state(states: Sequence[str | None]) -> str | None:
    """A run of several parts that were all stopped in time was interrupted, though its main journal says it runs."""
    parts = set(states[1:])
    return "interrupted" if states[0] == "killed" and parts and parts <= {"interrupted", "finished"} else states[0]


def _state(journal: Journal, output: Path | None = None) -> str | None:
    """The state of a run; one that says it runs, though nobody holds its lock, was killed."""
    state = journal.meta("state")
    held = is_locked(journal.folder) or (output is not None and is_held(output))
    return "killed" if state in ("running", "writing") and not held else state


def show(output: str | Path, record: str) -> dict[str, Any]:
    """Returns a record's whole history: its outcome, its fields, every prompt and raw answer.

    Raises:
        JournalError: if there is no such run or record.
    """
    with open_journals(to_path(str(output))) as journals:
        rows = [row for journal in journals for row in journal.find(record)]
        stages = json.loads(journals[0].meta("stages") or "[]")
        order = {name: n for n, name in enumerate(itertools.chain(*stages))}
        calls = sorted(
            itertools.chain.from_iterable(journal.calls(record) for journal in journals),
            key=lambda call: (
                call["record"],
                order.get(call["step"], -1),
                call["run"],
                call["attempt"],
                call["sample"],
            ),
        )
        if not rows and not calls:
            like = [name for journal in journals for name in journal.ids_like(record)]
            hint = f"; ids with it: {', '.join(like)}" if like else ""
            raise JournalError(f"no record {record!r} in {output}{hint}")
        return {
            "id": record,
            "outcomes": [
                {
                    "id": row.id,
                    "stage": row.stage,
                    "state": row.state,
                    "step": row.step,
                    "reason": row.reason,
                    "fields": row.fields,
                }
                for row in rows
            ],
            "calls": calls,
        }


def retry(output: str | Path, *, step: str | None = None, ids: Sequence[str] = ()) -> int:
    """Marks failed records so that the next run asks anew, with new seeds. Returns how many were marked."""
    path = to_path(str(output))
    mirror = Mirror(path) if is_remote(path) else None
    folder = path if mirror is None else mirror.folder
    with open_journals(path):
        pass  # there must be a run
    with hold(folder), mirror or contextlib.nullcontext():
        marked = _find_failed(folder, step, list(ids))
        if ids and not marked:
            raise JournalError(f"no failed record {', '.join(map(repr, ids))} in {output}; `mminf status` lists them")
        with Journal(folder, write=True, locked=True) as journal:
            journal.write_off(marked)
        return len(marked)


def _find_failed(folder: Path, step: str | None, ids: list[str]) -> list[tuple[str, str, int]]:
    with open_journals(folder) as journals:
        recipe = json.loads(journals[0].meta("recipe") or "{}")
        attempts: dict[str, int] = {}
        for item in recipe.get("steps", []):
            for kind, config in item.items():
                if isinstance(config, dict):
                    attempts[config.get("name") or kind] = int(config.get("attempts", 1))
        failed = itertools.chain.from_iterable(journal.failed(step=step, ids=ids) for journal in journals)
        return [(record, at, attempts.get(at, 1)) for record, at in dict.fromkeys(failed)]


def export(recipe: Recipe, output: str | Path, *, to: str | Path | None = None, force: bool = False) -> list[Written]:
    """Writes a recipe's datasets from what a journal holds, finished or not.

    Args:
        to: folder for the datasets; by default the run's own, which must be one that can be written to then.
        force: as for `prepare`.

    Raises:
        JournalError: if there is no run, or it had other steps.
        OutputError: if a dataset can't be written, or would replace what no run into its folder has written.
    """
    made = Run(recipe, to_path(str(output)), force=force)
    with copied(made.target) if is_remote(made.target) else contextlib.nullcontext(made.output) as folder:
        made.output = folder
        return _export(made, made.target if to is None else to_path(str(to)))


def _export(made: Run, to: Path) -> list[Written]:
    recipe, output = made.recipe, made.target
    if not (made.output / FILE).is_file() and list_parts(made.target):
        raise JournalError(f"{output} holds shards that are not merged yet: `mminf merge` writes the datasets")
    with Journal(made.output) as journal:
        if part_folders(made.output):
            log.warning("%s has shards that are not merged; what they did is left out", output)
        names = [list(stage.names) for stage in made.plan]
        if names != json.loads(journal.meta("stages") or "[]"):
            raise JournalError(
                f"the run in {output} had other steps than {recipe.path} has now; "
                "give the recipe that made it, with the same --profile and --set"
            )
        if not made.force:
            check_targets(to, open_sinks(recipe, to))
        partial = journal.meta("state") != "finished" or bool(journal.failures(1))
        own = to == made.target
        known = rows_written(journal) if own or is_remote(to) else read_marker(to)
        guard = Guard(failed=partial, force=made.force, rows=known)
        written = write_sinks(recipe, to, made.plan, journal, made.source.policy(), guard=guard)
        if not is_remote(to) and not own:
            write_marker(to, written)
        return written


def render(recipe: Recipe, step: str, *, record: str | None = None, output: str | Path | None = None) -> Rendered:
    """Returns the exact prompt of a step for a record, as its model would get it.

    Args:
        record: id; the first record of the source by default.
        output: a run whose fields fill the prompt; without it, what earlier steps would write is shown by name.

    Raises:
        UsageError: if there is no such step or record, or the step sends no prompt.
    """
    from mminf.engine.preview import preview_request

    target = next((item for item in recipe.steps if item.name == step), None)
    if target is None:
        raise UsageError(f"no step {step!r}{nearest(step, [item.name for item in recipe.steps])}")
    made = Run(recipe, Path(output) if output is not None else Path("out") / recipe.name)
    made.source.check()
    chosen = _find_record(made, record) if output is None else _find_row(made.output, record)
    try:
        request: Request = preview_request(made, target, chosen)
    except RecordError as error:
        raise UsageError(f"record {chosen.id}: {error}") from error
    shown = made.engines[target.engine].backend.render(request)
    if shown is None:
        raise UsageError(f"backend {recipe.engines[target.engine].backend!r} renders prompts on the server only")
    return shown


def _find_record(made: Run, record: str | None) -> Record:
    for row in made.source.read():
        if isinstance(row, Record) and record in (None, row.id):
            return row
    raise UsageError(f"no record {record!r} in {made.source.path}" if record else f"no record in {made.source.path}")


def _find_row(output: Path, record: str | None) -> Record:
    with Journal(output) as journal:
        rows = journal.find(record) if record is not None else list(itertools.islice(journal.rows(0), 1))
    if not rows:
        raise UsageError(f"no record {record!r} in {output}" if record else f"no finished record in {output}")
    return rows[-1].record()


def describe_plan(recipe: Recipe) -> str:
    """Returns what a run of the recipe would do, as text."""
    from mminf.report.plan import plan_text

    return plan_text(recipe)


def list_members(plugins: Sequence[str] = ()) -> dict[str, dict[str, str]]:
    """Returns what recipes can name, by kind, each with the first line of its documentation."""
    discover(plugins)
    registries = {"steps": STEPS, "backends": BACKENDS, "sources": SOURCES, "sinks": SINKS}
    return {kind: {name: _first_line(registry.get(name)) for name in registry} for kind, registry in registries.items()}


def list_recipes() -> dict[str, str]:
    """Returns the recipes that mminf brings along, each with its one line."""
    lines = {}
    for name, path in builtin_recipes().items():
        data = load_document(path).data or {}
        lines[name] = str(data.get("description", ""))
    return lines


def recipe_schema(plugins: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the JSON Schema of recipes."""
    from mminf.recipe.schema import make_schema

    discover(plugins)
    return make_schema()


def _first_line(item: Any) -> str:
    return (item.__doc__ or "").strip().partition("\n")[0]


__all__ = [
    "RunResult",
    "check",
    "describe_plan",
    "end_children",
    "execute",
    "export",
    "failures",
    "list_members",
    "list_recipes",
    "load",
    "merge",
    "prepare",
    "recipe_schema",
    "render",
    "retry",
    "run",
    "show",
    "status",
]
