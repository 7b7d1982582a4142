"""The Python API. The command line calls nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mminf.arguments import check_load, listed
from mminf.content import content_folder, find_recipe
from mminf.engine.peek import find_problems, fixed_columns
from mminf.engine.plan import check_fields
from mminf.engine.result import RunResult, open_sinks
from mminf.engine.run import Run, open_run
from mminf.engine.workspace import Workspace
from mminf.errors import EngineError
from mminf.executor.base import Executor
from mminf.executor.choice import choose_executor
from mminf.executor.local import LocalExecutor
from mminf.executor.loop import end_children
from mminf.executor.options import ExecutorOptions, RayOptions
from mminf.lazy import API_NAMES, lazy_names
from mminf.plugin import discover
from mminf.recipe.loader import load_recipe
from mminf.recipe.model import Recipe
from mminf.registry import BACKENDS
from mminf.request import Rendered
from mminf.shard import Shard
from mminf.sink.base import Written
from mminf.source.guess import guess_source
from mminf.storage import is_remote, to_path

if TYPE_CHECKING:
    from mminf.card.write import card
    from mminf.catalogue import copy_recipe, describe_member, describe_recipe, list_members, list_recipes
    from mminf.display.callback import OnProgress
    from mminf.history import RecordHistory
    from mminf.hub.push import plan_push, push
    from mminf.inspection import FailureStatus, RunStatus
    from mminf.journal.repair import Repaired
    from mminf.listing import list_records
    from mminf.page.report import report
    from mminf.properties import PathProperties
    from mminf.run_folder import marks
    from mminf.trial import describe_plan, preview, probe

log = logging.getLogger("mminf")

__getattr__ = lazy_names(__name__, API_NAMES)


def load(
    recipe: str | Path,
    *,
    input: str | Path | None = None,  # noqa: A002 (what users call it)
    profile: str | Sequence[str] | None = None,
    settings: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    seed: int | None = None,
    plugins: Sequence[str] = (),
    image_root: str | Path | None = None,
    peek: bool = True,
) -> Recipe:
    """Reads and checks a recipe.

    Args:
        recipe: path, or name of a recipe bundled with mminf.
        input: image folder, JSON, JSONL, CSV, Parquet or dataset on disk; replaces the recipe's source.
        profile: one of the recipe's profiles, or several.
        settings: `path.to.key=value` texts, as `--set` takes them.
        overrides: the same from Python: `{"engines.vlm.model": "..."}` or nested mappings.
        seed: seed of the run; overrides the recipe's seed.
        plugins: plugin files or modules.
        image_root: folder or URI that the rows' relative image paths start from.
        peek: if the recipe has errors, read the columns of its input, to report missing fields as well.

    Raises:
        UsageError: if the recipe is invalid; the message lists all problems.
    """
    check_load(recipe, overrides)
    values = {**(overrides or {}), **({"seed": seed} if seed is not None else {})}
    return load_recipe(
        find_recipe(str(recipe)),
        profile=None if profile is None else ",".join(listed(profile)),
        settings=listed(settings),
        overrides=values,
        source=guess_source(str(input)) if input is not None else None,
        image_root=_absolute(image_root) if image_root is not None else None,
        plugins=listed(plugins),
        templates=[content_folder("templates")],
        check=partial(find_problems, peek=peek),
    )


def _absolute(folder: str | Path) -> str:
    """Returns the absolute path of a folder, which is relative to the working directory, not to the recipe."""
    path = to_path(str(folder))
    return str(path if is_remote(path) else path.resolve())


def run(
    recipe: str | Path | Recipe,
    *,
    output: str | Path | None = None,
    limit: int | None = None,
    shard: str | None = None,
    ray: RayOptions | None = None,
    executor: Executor | None = None,
    progress: bool | OnProgress = False,
    force: bool = False,
    **options: Any,
) -> RunResult:
    """Runs a recipe, resuming an interrupted run into the same output.

    Args:
        recipe: path, name, or what `load` returned.
        output: folder for the journal and the datasets; `out/<recipe>` by default.
        limit: number of records of the source that are taken.
        shard: `i/n`: only the records of this shard; `merge` merges the shards.
        ray: work on a Ray cluster.
        executor: work with this executor, instead of `shard` or `ray`. Its base class is internal, and may change.
        progress: show it on stderr, or call a function with it (`mminf.RunProgress`) every second.
        force: as for `prepare`.
        options: as for `load`.

    Raises:
        UsageError: if it can't run, or a script lacks `if __name__ == "__main__":`; progress is saved in the journal.
    """
    loaded = recipe if isinstance(recipe, Recipe) else load(recipe, **options)
    where = ExecutorOptions(Shard.parse(shard) if shard is not None else None, ray)
    chosen = executor or choose_executor(where)
    return execute(prepare(loaded, output=output, limit=limit, force=force), executor=chosen, progress=progress)


def execute(prepared: Run, *, executor: Executor | None = None, progress: bool | OnProgress = False) -> RunResult:
    """Runs what `prepare` returned.

    Args:
        executor: says how and where; in this process by default.

    Raises:
        UsageError: if it can't continue; progress is saved.
    """
    return (executor or LocalExecutor()).execute(prepared, progress=progress)


def merge(prepared: Run, *, progress: bool | OnProgress = False) -> RunResult:
    """Merges the shards of a run into its journal, runs the dataset steps after them, and writes the datasets.

    Returns:
        The result; its state is `waiting` if the shards must be run again after a dataset step.

    Raises:
        JournalError: if a shard is missing, unfinished, or of another recipe.
    """
    from mminf.executor.shards import MergeExecutor

    return MergeExecutor().execute(prepared, progress=progress)


def prepare(recipe: Recipe, *, output: str | Path | None = None, limit: int | None = None, force: bool = False) -> Run:
    """Returns a run that has been checked: input, output, fields, installed backends. Nothing is loaded or written.

    Args:
        force: also replace files that mminf did not write, datasets of another recipe, and datasets with
            more rows.
    """
    folder = to_path(str(output)) if output is not None else Path("out") / recipe.name
    made = open_run(recipe, folder, limit=limit, force=force)
    made.check()
    check_backends(recipe)
    return made


def check(recipe: Recipe) -> None:
    """Raises RecipeError if a field is read that nothing provides, as far as that is known without the input."""
    check_fields(recipe, fixed_columns(recipe), open_sinks(recipe, Path("out")))


def check_backends(recipe: Recipe) -> None:
    """Raises EngineError if a backend that the recipe uses can't run here, saying what to install instead."""
    used = {step.engine for step in recipe.steps if step.engine is not None}
    for name in sorted(used):
        config = recipe.engines[name]
        if (missing := BACKENDS.get(config.backend).check_installed()) is not None:
            raise EngineError(f"engine {name!r}: {missing}")


def status(output: str | Path) -> RunStatus:
    """Returns the status of a run, also while it runs, as JSON values.

    Raises:
        JournalError: if there is no run.
    """
    from mminf.inspection import run_status

    return run_status(output)


def failures(output: str | Path) -> Iterator[FailureStatus]:
    """Yields id, step and reason of every record of a run that failed.

    Raises:
        JournalError: if there is no run.
    """
    from mminf.inspection import list_failures

    return list_failures(output)


def show(output: str | Path, record: str) -> RecordHistory:
    """Returns a record's whole history: its outcomes, its fields, every prompt and raw answer.

    Raises:
        JournalError: if there is no such run or record.
    """
    from mminf.history import record_history

    return record_history(output, record)


def properties(path: str | Path, **options: Any) -> PathProperties:
    """Returns the properties of a file of rows, or of each dataset of a run: lengths, languages, duplicates, ...

    Args:
        path: output folder of a run, or a file or folder of ms-swift, LLaVA or ShareGPT rows.
        options: `exact`, `tokenizer`, `image_root`, `spacy_model` and `sample`, as for `measure_path`.

    Raises:
        SourceError: if there is no conversation to measure.
    """
    from mminf.properties.path import measure_path

    return measure_path(path, **options)


def retry(output: str | Path, *, step: str | None = None, ids: Sequence[str] = ()) -> int:
    """Marks failed records so that the next run retries them with new seeds. Returns how many were marked.

    Raises:
        JournalError: if there is no run, or no such record has failed.
    """
    from mminf.sharding.retry import retry_failed

    return retry_failed(to_path(str(output)), step=step, ids=ids)


def export(
    recipe: Recipe,
    output: str | Path,
    *,
    to: str | Path | None = None,
    force: bool = False,
    marks: str | Path | None = None,
) -> list[Written]:
    """Writes a recipe's datasets from what a journal contains, finished or not.

    Args:
        to: folder for the datasets; by default the output of the run, which must then be writable.
        force: as for `prepare`.
        marks: file with marks, as `mminf view` writes it; records get the fields `mark` and `note`.

    Raises:
        JournalError: if there is no run, or the recipe has other steps than the run.
        OutputError: if a dataset can't be written, or would replace a file that mminf did not write.
    """
    from mminf.engine.export import export_run

    target, named = (None if place is None else to_path(str(place)) for place in (to, marks))
    return export_run(recipe, to_path(str(output)), to=target, force=force, marks=named)


def repair(output: str | Path) -> Repaired:
    """Saves what can be read of a damaged journal in an output folder; the damaged file is kept next to it.

    Raises:
        JournalError: if there is no journal, or another process writes it.
    """
    from mminf.journal.repair import repair_journal

    workspace = Workspace(to_path(str(output)))
    if not workspace.is_remote:
        return repair_journal(workspace.folder)
    with workspace.hold():
        found = repair_journal(workspace.folder, locked=True)
        if found.damaged:
            workspace.push_shards()
        return found


def render(recipe: Recipe, step: str, *, record: str | None = None, output: str | Path | None = None) -> Rendered:
    """Returns the exact prompt of a step for a record, as its model would get it.

    Args:
        record: id; the first record of the source by default.
        output: a run whose fields fill in the prompt; without it, the prompt shows names of fields of earlier steps.

    Raises:
        UsageError: if there is no such step or record, or the step sends no prompt.
    """
    from mminf.engine.preview import render_prompt

    return render_prompt(recipe, step, record=record, output=None if output is None else Path(output))


def recipe_schema(plugins: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the JSON Schema of recipes."""
    from mminf.recipe.schema import make_schema

    discover(plugins)
    return make_schema()


__all__ = [
    "RunResult",
    "card",
    "check",
    "copy_recipe",
    "describe_member",
    "describe_plan",
    "describe_recipe",
    "end_children",
    "execute",
    "export",
    "failures",
    "list_members",
    "list_recipes",
    "list_records",
    "load",
    "marks",
    "merge",
    "plan_push",
    "prepare",
    "preview",
    "probe",
    "push",
    "recipe_schema",
    "render",
    "repair",
    "report",
    "retry",
    "run",
    "show",
    "status",
]
