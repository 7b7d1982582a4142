"""Runs a recipe in this process."""

from __future__ import annotations

from mminf.engine.result import RunResult
from mminf.engine.run import Run
from mminf.engine.work import work
from mminf.executor.base import Executor
from mminf.journal import Journal
from mminf.sharding.merge import merge_shards


class LocalExecutor(Executor):
    """Runs a recipe in this process, resuming what the journal contains."""

    async def work(self, run: Run) -> RunResult:
        async with run.lead():
            if merge_shards(run.workspace.folder):
                await run.workspace.push(merged=True)
            with Journal(run.workspace.folder, write=True, locked=True) as journal:
                run.begin(journal)
                await journal.flush()
                await run.workspace.push()  # so that `status` finds it
                worked = await work(run, journal, run.plan.stages)
                return await run.end(journal, worked.state)
