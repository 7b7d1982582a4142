"""The base class of executors whose workers are in other processes or on other machines."""

from __future__ import annotations

import asyncio
from abc import abstractmethod

from mminf.engine.result import RunResult
from mminf.engine.run import Run
from mminf.executor.base import Executor
from mminf.executor.marker import place_marker, remove_marker
from mminf.executor.worker import WorkerSpec
from mminf.sharding.coordinator import Coordinator
from mminf.sharding.phase import Phase
from mminf.states import RunState

POLL_SECONDS = 0.5


class LeadingExecutor(Executor):
    """Leads a run in this process: phases, merges, dataset steps and datasets. `run_phase` sends shards to workers."""

    @abstractmethod
    def count_shards(self, run: Run) -> int:
        """Returns the number of shards. Raises UsageError if the workers can't run it."""

    @abstractmethod
    def run_phase(self, run: Run, spec: bytes, phase: Phase, shards: int) -> None:
        """Works on all shards in a phase; called in a thread. Returns when all have finished.

        It sends each shard to a `worker.Worker`, starts workers that have died again, and passes the results to
        `worker.collect`, whose exceptions it raises. A generator of results ends early after such an exception: it
        stops its workers in a `finally` clause.

        Args:
            spec: for `Worker`.
        """

    def drain(self) -> None:
        """Makes the workers drain; called repeatedly while the run drains, until `run_phase` has returned."""

    async def work(self, run: Run) -> RunResult:
        """Runs the recipe on the workers.

        Raises:
            UsageError: if a worker can't work, or the run can't be sent to workers.
        """
        async with run.lead():
            shards = self.count_shards(run)
            spec = WorkerSpec.of(run, place_marker(run.target)).pack()

            async def run_phase(phase: Phase) -> None:
                await self._wait(run, asyncio.create_task(asyncio.to_thread(self.run_phase, run, spec, phase, shards)))

            result = await Coordinator(run, shards).run(run_phase)
            if not run.session.stats.ending or result.state is RunState.FINISHED:
                remove_marker(run.target)
            return result

    async def _wait(self, run: Run, task: asyncio.Task[None]) -> None:
        run.session.watch_over(asyncio.current_task())  # so that a second Ctrl-C stops this wait
        while not task.done():
            await asyncio.wait({task}, timeout=POLL_SECONDS)
            if run.session.stats.draining:
                self.drain()
        task.result()
