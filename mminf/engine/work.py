"""Works on the stages of a run, in this process, for all records or for those of a shard."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mminf.engine.admission import Limits
from mminf.engine.budget import make_budget
from mminf.engine.dataset import run_dataset_stage
from mminf.engine.engines import Engine
from mminf.engine.first_failures import FirstFailures, watch_first
from mminf.engine.gateway import JournalGateway
from mminf.engine.input import read_input
from mminf.engine.outcome_writer import OutcomeWriter
from mminf.engine.parking import Parking
from mminf.engine.plan import StagePlan
from mminf.engine.pool import fits
from mminf.engine.run import Run
from mminf.engine.run_log import error_text, file_log
from mminf.engine.scheduler import Scheduler
from mminf.engine.step_runner import StepRunner
from mminf.engine.tree_runner import TreeRunner
from mminf.errors import EngineError, Interrupted
from mminf.image import ImageStore
from mminf.journal import Journal
from mminf.record import Record
from mminf.shard import Shard
from mminf.source.base import BadRow, Source
from mminf.source.marks import add_marks
from mminf.states import RunState

MIN_WINDOW, MAX_WINDOW = 64, 4096
LAST = 3  # windows; with 64 calls in flight at 50 ms, 1 leaves 0.33 s in which engines idle, 2 0.16 s, 3 0.15 s


@dataclass(frozen=True, slots=True)
class Worked:
    """The result of work on stages.

    Attributes:
        state: `finished` or `interrupted`.
        position: number of the last source record that was taken, None if all were.
    """

    state: RunState
    position: int | None


async def work(
    run: Run, journal: Journal, stages: Sequence[StagePlan], *, shard: Shard | None = None, quota: int | None = None
) -> Worked:
    """Works on stages, resuming what the journal contains.

    Args:
        journal: journal of the run, or of its shard.
        shard: shard whose records are processed; None: all records.
        quota: stop once this many records are accepted in the last stage; the recipe's target by default.

    Raises:
        EngineError, JournalError, SourceError: if it can't continue; progress is saved.
    """
    images = ImageStore(run.source.policy(), journal.images)
    worker = StageWorker(run, journal, images, shard, quota or run.plan.target)
    task = asyncio.create_task(worker.run(stages))
    run.session.watch_over(task)
    stats, state = run.session.stats, RunState.FAILED
    failure: BaseException | None = None
    try:
        await task
        state = RunState.INTERRUPTED if stats.unfinished else RunState.FINISHED
    except (Interrupted, EngineError, asyncio.CancelledError) as error:
        # Ctrl-C reaches an engine's own processes as well, so a dying engine is not a failure then.
        if not stats.ending:
            failure = error
            raise
        state = RunState.INTERRUPTED
    except BaseException as error:
        failure = error
        raise
    finally:
        # Engines first: a journal that can't be written must not keep a model loaded.
        images.close()
        await run.session.release()
        if failure is not None:
            journal.meta.note_error(error_text(failure))
        # A whole run is finished only when its datasets are written.
        whole = state is RunState.FINISHED and shard is None
        journal.meta.add_gpu_seconds(run.session.take_gpu_seconds())
        journal.meta.end_work(RunState.WRITING if whole else state, worker.position)
    await journal.flush()
    return Worked(state, worker.position)


class StageWorker:
    """Runs stages one after the other.

    Args:
        images: reads the images of requests.
        target: number of accepted records in the run's last stage at which it ends; None: it takes all.

    Attributes:
        position: number of the last source record that was taken, None if all were.
    """

    def __init__(self, run: Run, journal: Journal, images: ImageStore, shard: Shard | None, target: int | None) -> None:
        self._run = run
        self._journal = journal
        self._shard = shard
        self._target = target
        self._session = run.session
        self._written_off = journal.retries.by_step()
        budget = make_budget(run.plan.recipe, journal.memo, shard)
        seed = run.plan.recipe.run.seed
        session = run.session
        self._gateway = JournalGateway(seed, journal, images, session.engines, session.pool, session.stats, budget)
        self.position: int | None = None

    async def run(self, stages: Sequence[StagePlan]) -> None:
        """Runs stages, until all are finished or the run is stopped."""
        for stage in stages:
            what = "over all records" if stage.dataset else "record by record"
            file_log.info("stage %d, %s: %s", stage.index + 1, what, ", ".join(stage.names))
            if stage.dataset:
                await self._run_dataset_stage(stage)
            else:
                await self._run_records(stage)
            if self._session.stats.unfinished:
                return
            await self._journal.flush()

    async def _run_dataset_stage(self, stage: StagePlan) -> None:
        if stage.index == 0:
            # A recipe that begins with a dataset step: its records go into the journal as they are.
            empty = StagePlan(-1, (), (), dataset=False, fingerprint=stage.fingerprint)
            await self._schedule(empty, Limits(MAX_WINDOW), FirstFailures((), None)).run(self._source())
            await self._journal.flush()
            if self._session.stats.unfinished:
                return
        await run_dataset_stage(stage, self._journal, self._gateway, self._session.stats)

    async def _run_records(self, stage: StagePlan) -> None:
        first = watch_first(stage, self._journal.outcomes, self._run.plan.recipe.run.max_same_failures)
        scheduler = self._schedule(stage, self._limits(stage), first)
        await scheduler.run(self._source() if stage.index == 0 else self._left_by_the_stage_before(stage))
        self.position = scheduler.position

    def _schedule(self, stage: StagePlan, limits: Limits, first_failures: FirstFailures) -> Scheduler:
        session, stats = self._session, self._session.stats
        steps = StepRunner(stage, self._gateway, stats, self._written_off, first_failures)
        writer = OutcomeWriter(stage, self._journal.outcomes, stats)
        parking = Parking(stage, self._journal, session.engines, session.pool)
        runner = TreeRunner(stage, steps, writer, parking)
        return Scheduler(stage, limits, runner, writer, parking, self._written_off, stats)

    def _source(self) -> Iterator[Record | BadRow]:
        return read_source(self._run.source, self._run.plan.limit, self._shard)

    def _left_by_the_stage_before(self, stage: StagePlan) -> Iterator[Record | BadRow]:
        return (row.record() for row in self._journal.inputs(stage.index))

    def _limits(self, stage: StagePlan) -> Limits:
        window = count_window(self._run, stage)
        target = self._target if stage is self._run.plan.last else None
        total = self._session.stats.total if stage.index == 0 and target is None else None
        if total and self._shard is not None:
            total //= self._shard.count
        last = LAST * window if self._run.plan.recipe.run.window is None else 0
        return Limits(window, last, target, total)


def count_window(run: Run, stage: StagePlan) -> int:
    """Returns how many records keep a stage's engines full: about one call of each is in flight at a time.

    This is a quarter more than the engines take at once, for records that are being read, decoded or written. A recipe
    can set another number.
    """
    if (given := run.plan.recipe.run.window) is not None:
        return given
    engines = run.session.engines
    used: dict[Engine, int] = {}
    for step in stage.steps:
        if step.engine is not None:
            used[engines[step.engine]] = engines[step.engine].capacity
    together = fits([engine for engine in used if engine.backend.local], run.session.pool.limit)
    wanted = sum(used.values()) if together else max(used.values(), default=0)
    return max(MIN_WINDOW, min(MAX_WINDOW, math.ceil(1.25 * wanted)))


def read_source(source: Source, limit: int | None, shard: Shard | None) -> Iterator[Record | BadRow]:
    """Yields the records of a source that a run, or a shard of it, takes; with their marks, if the source has any.

    Args:
        limit: only the first records, counted over all shards.
    """
    return add_marks(source, _read_rows(source, limit, shard), shard=shard, whole=limit is None)


def _read_rows(source: Source, limit: int | None, shard: Shard | None) -> Iterator[Record | BadRow]:
    if shard is None:
        return itertools.islice(read_input(source), limit)
    if source.cuts and limit is None:
        return read_input(source, shard)
    if source.cuts and not source.gaps:
        return itertools.takewhile(lambda row: row.seq < (limit or 0), read_input(source, shard))
    return (row for row in itertools.islice(read_input(source), limit) if shard.owns(row.id))
