"""An executor of one's own: the base class, and workers in processes that it starts."""

from __future__ import annotations

import asyncio
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

import mminf
from mminf import api
from mminf.engine.result import RunResult
from mminf.engine.run import Run
from mminf.errors import EngineError, Interrupted
from mminf.executor.base import Executor
from mminf.executor.marker import place_marker, remove_marker
from mminf.executor.worker import ShardResult, Worker, WorkerSpec, collect
from mminf.shard import Shard
from mminf.sharding.coordinator import Coordinator
from mminf.sharding.phase import Phase
from mminf.states import RunState

SHARDS = 3


def work_on(spec: bytes, index: int, phase: str) -> ShardResult:
    """Runs in a process of the pool."""
    loaded = Phase.load(phase)
    assert loaded is not None
    return Worker(spec, lambda _: False).work(Shard(index, SHARDS), loaded)


class PoolExecutor(Executor):
    """Works on each shard in a process of a pool."""

    async def work(self, run: Run) -> RunResult:
        async with run.lead():
            spec = WorkerSpec.of(run, place_marker(run.target)).pack()
            with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:

                async def run_phase(phase: Phase) -> None:
                    loop = asyncio.get_running_loop()
                    work = [loop.run_in_executor(pool, work_on, spec, n, phase.dump()) for n in range(SHARDS)]
                    collect(run, await asyncio.gather(*work))

                result = await Coordinator(run, SHARDS).run(run_phase)
            remove_marker(run.target)
            return result


def test_an_executor_of_ones_own_gives_the_rows_of_a_local_run(recipe: Path, tmp_path: Path) -> None:
    whole = mminf.run(recipe, output=tmp_path / "whole")
    pooled = mminf.run(recipe, output=tmp_path / "pooled", executor=PoolExecutor())
    assert whole.counts == pooled.counts
    assert (tmp_path / "whole" / "out.jsonl").read_bytes() == (tmp_path / "pooled" / "out.jsonl").read_bytes()
    assert not list((tmp_path / "pooled").glob(".mminf-run"))


def test_the_results_of_shards_are_judged(recipe: Path, tmp_path: Path) -> None:
    run = api.prepare(mminf.load(recipe), output=tmp_path / "out")
    good = ShardResult(Shard(0, 3), RunState.FINISHED)
    collect(run, [good, good])
    with pytest.raises(EngineError, match="shard 1 of 3: host: no model"):
        collect(run, [good, ShardResult(Shard(1, 3), RunState.FAILED, "host: no model")])
    with pytest.raises(Interrupted):
        collect(run, [ShardResult(Shard(1, 3), RunState.INTERRUPTED), good])
    with pytest.raises(Interrupted, match="budget"):
        collect(run, [ShardResult(Shard(1, 3), RunState.INTERRUPTED, stopped="the budget of 3 calls"), good])
    assert run.session.stats.stopped == "the budget of 3 calls"
    run.session.stats.drain()
    with pytest.raises(Interrupted):
        collect(run, [good])
