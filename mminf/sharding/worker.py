"""Works on one shard in a phase, with its own journal."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from mminf.engine.result import RunResult, log_result
from mminf.engine.run import Run
from mminf.engine.run_log import run_log
from mminf.engine.work import work
from mminf.engine.workspace import Workspace
from mminf.errors import JournalError
from mminf.journal import RunMeta
from mminf.journal.folders import list_shards, shard_folder
from mminf.journal.mirror import ShardMirror
from mminf.shard import Shard
from mminf.sharding.overlay import FrozenJournal, ShardJournal
from mminf.sharding.phase import Phase, first_quota
from mminf.states import RunState


async def work_shard(run: Run, shard: Shard, phase: Phase) -> RunState:
    """Works on a shard's records in a phase, resuming what its journal and the main one contain.

    Returns:
        `finished` or `interrupted`.

    Raises:
        UsageError: if it can't continue; progress is saved.
    """
    async with _journals(run, shard) as output:
        folder = shard_folder(output, shard)
        with ShardJournal(output, shard, write=True) as journal, run_log(folder, run.session.take_early()):
            run.begin(journal, lambda _: phase.dump())
            stage = run.plan.stages[phase.stage]
            quota = phase.quota_of(run.plan.target, shard.count)
            worked = await work(run, journal, [stage], shard=shard, quota=quota)
            log_result(RunResult.of(worked.state, run.target, [journal], shard=shard), [journal])
    return worked.state


@contextlib.asynccontextmanager
async def _journals(run: Run, shard: Shard) -> AsyncIterator[Path]:
    """Yields the folder with the journals of the run and the shard; journals in a store are fetched, and sent back."""
    if not run.workspace.is_remote:
        yield run.workspace.folder
        return
    store = shard_folder(run.target, shard)
    with tempfile.TemporaryDirectory(prefix="mminf-") as name:
        workspace = Workspace(run.target, Path(name))
        await asyncio.to_thread(workspace.fetch)
        async with ShardMirror(store, shard_folder(workspace.folder, shard)).lead(run.session.drain):
            yield workspace.folder


def find_phase(run: Run, shards: int) -> Phase:
    """Returns the phase of a shard that the user's scheduler starts.

    Args:
        shards: number of shards.

    Raises:
        JournalError: if a dataset step comes first, or the output contains shards with another count.
    """
    other = sorted({shard.count for shard in list_shards(run.target)} - {shards})
    if other:
        raise JournalError(
            f"{run.target} contains a run in {other[0]} shards, not in {shards}: when all are finished, use `mminf "
            "merge`; a plain `mminf run` takes over their results at any time"
        )
    with FrozenJournal(run.workspace.folder) as main:
        found = live_phase(run, main.meta)
        number = main.meta.run + 1
    if found is None and run.plan.stages[0].dataset:
        name = run.plan.stages[0].names[0]
        raise JournalError(f"the recipe begins with a dataset step ({name}), which runs once: `mminf merge` first")
    return found or Phase(0, first_quota(run.plan.target, shards), 0, number, run.source.fingerprint())


def live_phase(run: Run, main: RunMeta) -> Phase | None:
    """Returns the phase that shards of this recipe and this input work on; None if there is none."""
    phase = Phase.load(main.phase) if main.digest == run.plan.digest else None
    return phase if phase is not None and phase.source == run.source.fingerprint() else None
