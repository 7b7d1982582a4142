"""Coordinates a run in shards: begins its phases, merges the shards, runs the dataset steps between phases.

Dataset steps see all records, so they are barriers: they run once, over the merged journal, between two phases in which
the shards are at work. The executors decide how and where a phase is run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from mminf.engine.counts import Counts
from mminf.engine.result import RunResult, log_result
from mminf.engine.run import Run
from mminf.engine.run_log import file_log
from mminf.engine.work import work
from mminf.errors import Interrupted, JournalError
from mminf.journal import Journal, Scope
from mminf.journal.schema import FILE
from mminf.sharding.journals import open_journals
from mminf.sharding.merge import freeze, merge_shards, read_progress
from mminf.sharding.phase import SHARE, Phase, ShardProgress, first_quota, next_quota, sure_end, unfinished
from mminf.sharding.worker import live_phase
from mminf.states import RunState

RunPhase = Callable[[Phase], Awaitable[None]]
"""Runs a phase on all shards, until all have finished. Raises Interrupted if one of them has not."""


class Coordinator:
    """Coordinates one run; the caller holds the lock of the output.

    Args:
        shards: number of shards.
    """

    def __init__(self, run: Run, shards: int) -> None:
        self._run = run
        self._shards = shards
        self._folder = run.workspace.folder

    async def run(self, run_phase: RunPhase) -> RunResult:
        """Runs all phases, and writes the datasets."""
        try:
            phase = await self.begin()
            while phase is not None:
                file_log.info("phase %d: stage %d in %d shards", phase.number + 1, phase.stage + 1, self._shards)
                await run_phase(phase)
                phase = await self.merge(phase)
        except Interrupted:
            return self.interrupted()
        except asyncio.CancelledError:
            if not self._run.session.stats.ending:
                raise
            return self.interrupted()
        return await self.end()

    async def begin(self) -> Phase | None:
        """Merges the shards of earlier runs, and starts a run. Returns the first phase, or None if there is none."""
        merge_shards(self._folder)
        with self._journal() as journal:
            self._run.begin(journal)
        await self._run.workspace.push(merged=True)
        return await self._advance(0, 0)

    async def resume(self) -> Phase:
        """Returns the phase that shards work on. If there is none, begins the run and returns the first phase."""
        with self._journal() as journal:
            phase = live_phase(self._run, journal.meta)
            if phase is None:
                quota = first_quota(self._run.plan.target, self._shards)
                first = Phase(0, quota, 0, 0, self._run.source.fingerprint())
                self._run.begin(journal, lambda number: replace(first, run=number).dump())
                phase = replace(first, run=journal.meta.run)
        return phase

    async def merge(self, phase: Phase) -> Phase | None:
        """Merges the shards of a phase after all have finished, and runs the dataset steps after the phase.

        Returns:
            The next phase; None at the end, or if the run is draining.

        Raises:
            JournalError: if a shard is missing or not finished.
        """
        await self._run.workspace.pull_shards()
        progress = read_progress(self._folder)
        if missing := unfinished(progress, self._shards, phase, self._run.plan.digest):
            raise JournalError(f"{self._run.target} can't be merged yet: {'; '.join(missing)}; run again")
        merge_shards(self._folder)
        await self._run.workspace.push(merged=True)
        stage = self._run.plan.stages[phase.stage]
        if stage is self._run.plan.last and (quota := self._quota(phase, progress.values())) is not None:
            return await self._set(replace(phase, quota=quota, number=phase.number + 1))
        return await self._advance(phase.stage + 1, phase.number + 1)

    async def pause(self) -> RunResult:
        """Returns the result of a run whose shards must continue."""
        with self._journal() as journal:
            journal.meta.set_state(RunState.WAITING)
            await journal.flush()
            result = self._run.result(journal, RunState.WAITING)
            log_result(result, [journal])
            return result

    async def end(self) -> RunResult:
        """Writes the datasets, unless the run is ending, and returns its result."""
        with self._journal() as journal:
            if not self._run.session.stats.ending:
                return await self._run.end(journal, RunState.FINISHED)
            journal.meta.set_state(RunState.INTERRUPTED)
            await journal.flush()
            return await self._run.end(journal, RunState.INTERRUPTED)

    def interrupted(self) -> RunResult:
        """Returns the result of a run whose shards were stopped; the next run takes over their results."""
        stopped = self._run.session.stats.stopped
        if not (self._folder / FILE).is_file():  # before the run has begun
            return RunResult(RunState.INTERRUPTED, self._run.target, Counts(pending=None), stopped=stopped)
        with open_journals(self._folder) as journals:
            result = RunResult.of(RunState.INTERRUPTED, self._run.target, journals, stopped=stopped)
            log_result(result, journals)
            return result

    def _journal(self) -> Journal:
        # The journal is opened several times during the run; this scope excludes earlier runs each time.
        return Journal(self._folder, write=True, locked=True, scope=Scope.RUN)

    async def _advance(self, index: int, number: int) -> Phase | None:
        """Runs the dataset steps from a stage on. Returns the phase of the next stage of record steps, or None."""
        stages = self._run.plan.stages
        while index < len(stages) and stages[index].dataset:
            with self._journal() as journal:
                if (await work(self._run, journal, [stages[index]])).state is not RunState.FINISHED:
                    return None
                journal.meta.set_state(RunState.RUNNING)
            index += 1
        if index == len(stages):
            return None
        with self._journal() as journal:
            run = journal.meta.run
        return await self._set(self._phase(index, number, run))

    def _phase(self, index: int, number: int, run: int) -> Phase:
        is_last = self._run.plan.stages[index] is self._run.plan.last
        quota = SHARE if is_last and self._run.plan.target is not None else None
        return Phase(index, quota, number, run, self._run.source.fingerprint())

    async def _set(self, phase: Phase) -> Phase:
        with self._journal() as journal:
            journal.meta.set_phase(phase.dump())
        freeze(self._folder)
        await self._run.workspace.push()
        return phase

    def _quota(self, phase: Phase, progress: Iterable[ShardProgress]) -> int | None:
        """Returns the quota with which shards must continue to reach the target; None if it is reached, or can't be.

        Only records before the position that all shards have reached are certain to be among the first accepted ones.
        """
        target = self._run.plan.target
        end = sure_end(found.position for found in progress)
        quota = phase.quota_of(target, self._shards)
        if target is None or quota is None or end is None:
            return None
        with self._journal() as journal:
            lacking = target - journal.outcomes.count_before(phase.stage, end)
        return None if lacking <= 0 else next_quota(quota, lacking, self._shards)
