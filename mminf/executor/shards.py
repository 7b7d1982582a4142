"""Runs shards that the user's own scheduler starts, one command per shard, and merges them."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from mminf.engine.result import RunResult
from mminf.engine.run import Run
from mminf.engine.workspace import Workspace
from mminf.errors import JournalError
from mminf.executor.base import Executor
from mminf.journal import Journal
from mminf.journal.folders import list_shards, shard_folder
from mminf.journal.lock import hold
from mminf.journal.remote_lock import is_held
from mminf.journal.schema import FILE
from mminf.shard import Shard
from mminf.sharding.coordinator import Coordinator
from mminf.sharding.merge import freeze, read_progress, settle_main
from mminf.sharding.overlay import ShardJournal
from mminf.sharding.phase import Phase, ShardProgress, unfinished
from mminf.sharding.worker import find_phase, live_phase, work_shard
from mminf.states import RunState


class ShardExecutor(Executor):
    """Processes the records of one shard up to the next dataset step, or to the end.

    Its `work` raises JournalError if another process writes to the output.
    """

    def __init__(self, shard: Shard) -> None:
        self.shard = shard

    async def work(self, run: Run) -> RunResult:
        if not run.workspace.is_remote:
            return await _run_shard(run, self.shard)
        if is_held(run.target):
            raise JournalError(f"another run is writing to {run.target}; wait for it, or choose another --output")
        with tempfile.TemporaryDirectory(prefix="mminf-") as folder:
            here = run.at(Workspace(run.target, Path(folder)))
            here.workspace.fetch()
            return await _run_shard(here, self.shard)


async def _run_shard(run: Run, shard: Shard) -> RunResult:
    folder = run.workspace.folder
    settle_main(folder)
    with hold(folder, shared=True):
        phase = find_phase(run, shard.count)
        state = await work_shard(run, shard, phase)
        run.workspace.fetch(shard)
        with ShardJournal(folder, shard) as journal:
            stopped = run.session.stats.stopped
            result = RunResult.of(state, run.target, [journal], shard=shard, stopped=stopped)
            return replace(result, counts=replace(result.counts, pending=None))  # the number of its records is unknown


class MergeExecutor(Executor):
    """Merges the shards of a run, and runs the dataset steps after them.

    The state of the result is `waiting` if the shards must be run again: after a dataset step, or towards the target.
    """

    async def work(self, run: Run) -> RunResult:
        """Raises JournalError if a shard is missing, unfinished, or of another recipe."""
        folder = run.workspace.folder
        begins_here = run.workspace.is_remote or run.plan.stages[0].dataset
        if not begins_here and not (folder / FILE).is_file() and not list_shards(run.target):
            raise JournalError(f"no shards in {run.target}; `mminf run --shard i/n` creates them")
        async with run.lead():
            _check_idle(run)
            if (folder / FILE).is_file():
                freeze(folder)  # a killed merge may have left its last pages in the log
            progress = read_progress(folder)
            coordinator = Coordinator(run, _count_shards(run, progress))
            phase = await _merge(run, coordinator, progress)
            return await coordinator.end() if phase is None else await coordinator.pause()


async def _merge(run: Run, coordinator: Coordinator, progress: dict[Shard, ShardProgress]) -> Phase | None:
    """Merges the finished shards, if there are any. Returns the next phase, or None if there is none."""
    if not progress:
        begins_here = run.plan.stages[0].dataset
        if (phase := _live_phase(run)) is not None:
            return phase  # all was merged, and no shard has continued yet
        problem = _nothing_to_merge(run, again=not begins_here)
        if problem is not None and not begins_here:
            raise JournalError(f"{run.target} can't be merged: {problem}")
        return None if problem is None else await coordinator.begin()
    shards = next(iter(progress)).count
    if missing := unfinished(progress, shards, find_phase(run, shards), run.plan.digest):
        raise JournalError(f"{run.target} can't be merged yet: {'; '.join(missing)}")
    return await coordinator.merge(await coordinator.resume())


def _check_idle(run: Run) -> None:
    """Raises JournalError if a shard in a store is still written."""
    if run.workspace.is_remote:
        for shard in list_shards(run.target):
            if is_held(shard_folder(run.target, shard)):
                raise JournalError(f"shard {shard} is still writing to {run.target}")


def _count_shards(run: Run, progress: dict[Shard, ShardProgress]) -> int:
    counts = sorted({shard.count for shard in progress})
    if len(counts) > 1:
        raise JournalError(f"{run.target} contains shards with different counts ({', '.join(map(str, counts))})")
    return counts[0] if counts else 1


def _live_phase(run: Run) -> Phase | None:
    if not (run.workspace.folder / FILE).is_file():
        return None
    with Journal(run.workspace.folder) as main:
        return live_phase(run, main.meta)


def _nothing_to_merge(run: Run, *, again: bool) -> str | None:
    """Returns why there is nothing to merge, as an error; None if all was merged, and the datasets are to be written.

    Args:
        again: the datasets are written even if they exist, because a scheduler may start a merge again.
    """
    if not (run.workspace.folder / FILE).is_file():
        return "there are no shards in it"
    with Journal(run.workspace.folder) as main:
        written = main.meta.state is RunState.FINISHED and not again
        if written or not main.meta.is_finished or main.meta.digest != run.plan.digest:
            return "there are no shards in it, and no finished run of this recipe with these options"
    return None
