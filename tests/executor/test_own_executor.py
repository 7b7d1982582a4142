"""An executor of one's own: the base class, and workers in processes that it starts."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import pytest

import mminf
from mminf import api
from mminf.engine.run import Run
from mminf.errors import EngineError, Interrupted
from mminf.executor.leading import LeadingExecutor
from mminf.executor.marker import place_marker
from mminf.executor.worker import ShardResult, Worker, WorkerSpec, collect
from mminf.shard import Shard
from mminf.sharding.phase import Phase
from mminf.states import RunState

SHARDS = 3


def work_on(spec: bytes, index: int, phase: str) -> ShardResult:
    """Runs in a process of the pool."""
    loaded = Phase.load(phase)
    assert loaded is not None
    worker = Worker(spec, lambda _: False)
    try:
        return worker.work(Shard(index, SHARDS), loaded)
    finally:
        worker.close()


class PoolExecutor(LeadingExecutor):
    """Works on each shard in a process of a pool."""

    def count_shards(self, run: Run) -> int:
        return SHARDS

    def run_phase(self, run: Run, spec: bytes, phase: Phase, shards: int) -> None:
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
            work = [pool.submit(work_on, spec, index, phase.dump()) for index in range(shards)]
            collect(run, (done.result() for done in as_completed(work)))


def test_an_executor_of_ones_own_gives_the_rows_of_a_local_run(recipe: Path, tmp_path: Path) -> None:
    whole = mminf.run(recipe, output=tmp_path / "whole")
    pooled = mminf.run(recipe, output=tmp_path / "pooled", executor=PoolExecutor())
    assert whole.counts == pooled.counts
    assert (tmp_path / "whole" / "out.jsonl").read_bytes() == (tmp_path / "pooled" / "out.jsonl").read_bytes()
    assert not list((tmp_path / "pooled").glob(".mminf-run"))


def test_a_worker_reports_after_each_shard(recipe: Path, tmp_path: Path) -> None:
    """A shard may take less time than the interval of the reports."""
    run = api.prepare(mminf.load(recipe), output=tmp_path / "out")
    run.target.mkdir()
    spec = WorkerSpec.of(run, place_marker(run.target)).pack()
    reports: list[Mapping[str, object]] = []
    worker = Worker(spec, lambda stats: bool(reports.append(stats)))
    phase = Phase(0, None, 0, 1, run.source.fingerprint())
    assert worker.work(Shard(0, 2), phase).state is RunState.FINISHED
    worker.close()
    assert reports


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
