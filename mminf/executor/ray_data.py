"""Runs a recipe's shards as tasks of a Ray cluster, through Ray Data.

Each actor has the recipe's engines and processes one shard after the other; a shard whose worker or node is lost goes
to another actor, which resumes where the shard's journal ends. Docs: Ray, "Ray Data", `Dataset.map_batches`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

from mminf.backend.base import shorten
from mminf.engine.run import Run
from mminf.engine.stats import RunStats, add_stats
from mminf.errors import EngineError, UsageError
from mminf.executor.leading import LeadingExecutor
from mminf.executor.options import RayOptions
from mminf.executor.worker import REPORT_SECONDS, ShardResult, Worker, collect
from mminf.record import Json
from mminf.shard import Shard
from mminf.sharding.phase import Phase
from mminf.states import RunState

log = logging.getLogger("mminf")
SHARDS_PER_WORKER = 4


class Task(TypedDict, total=False):
    """A row of Ray's dataset: a shard in a phase, and its result, as in `ShardResult`."""

    index: int
    count: int
    phase: str
    state: str
    error: str
    stopped: str


class RayWorker:
    """An actor of Ray Data. Errors that the user can fix are returned; Ray retries others.

    Args:
        spec: what `WorkerSpec.pack` returned.
        collector: actor that collects counters.
    """

    def __init__(self, spec: bytes, collector: Any) -> None:
        self._collector = collector
        self._name = secrets.token_hex(4)
        self._worker = Worker(spec, self._report)

    def __call__(self, row: Task) -> Task:
        """Works on one shard in a phase."""
        phase = Phase.load(row["phase"])
        assert phase is not None
        result = self._worker.work(Shard(int(row["index"]), int(row["count"])), phase)
        return {**row, "state": result.state.value, "error": result.error, "stopped": result.stopped}

    def _report(self, stats: Mapping[str, Json]) -> bool:
        import ray

        return bool(ray.get(self._collector.put.remote(self._name, stats), timeout=30))


def _result(row: Task) -> ShardResult:
    shard = Shard(int(row["index"]), int(row["count"]))
    return ShardResult(shard, RunState(row["state"]), row["error"], row["stopped"])


class StatsCollector:
    """An actor that collects the counters of the workers."""

    def __init__(self) -> None:
        self._reports: dict[str, tuple[float, dict[str, Json]]] = {}
        self._draining = False

    def put(self, name: str, stats: dict[str, Json]) -> bool:
        """Stores a worker's counters. Returns whether the worker must drain."""
        self._reports[name] = (time.monotonic(), stats)
        return self._draining

    def drain(self) -> None:
        """Makes the workers drain, from their next report on."""
        self._draining = True

    def all(self, seconds: float = 30.0) -> list[dict[str, Json]]:
        """Returns the counters of live workers; records of a dead worker are counted by its successor."""
        now = time.monotonic()
        return [stats for at, stats in self._reports.values() if now - at < seconds]


class RayExecutor(LeadingExecutor):
    """Runs the shards on a Ray cluster; this process is the driver, and leads the run."""

    def __init__(self, options: RayOptions) -> None:
        self.options = options
        self._workers = 1
        self._collector: Any = None

    @contextlib.contextmanager
    def open(self, run: Run) -> Iterator[Run]:
        """Joins the cluster. Raises UsageError if Ray is not installed, or nothing answers at the address."""
        with join_cluster(self.options.address):
            yield run

    def count_shards(self, run: Run) -> int:
        """Returns the number of shards. Raises UsageError if the cluster is too small."""
        self._workers = count_workers(run, self.options)
        shards = self.options.shards or SHARDS_PER_WORKER * self._workers
        log.info("%d workers on the cluster, %d shards", self._workers, shards)
        return shards

    def drain(self) -> None:
        if self._collector is not None:
            self._collector.drain.remote()

    def run_phase(self, run: Run, spec: bytes, phase: Phase, shards: int) -> None:
        """Runs a phase on all shards. Raises Interrupted if one of them has not finished it."""
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.ERROR)  # it logs its plan, its pool and its progress
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.enable_operator_progress_bars = False
        rows = [{"index": index, "count": shards, "phase": phase.dump()} for index in range(shards)]
        done = ray.data.from_items(rows, override_num_blocks=shards).map(
            RayWorker,
            fn_constructor_args=(spec, self._start_collector()),
            compute=ray.data.ActorPoolStrategy(
                min_size=1, max_size=self._workers, initial_size=self._workers, max_tasks_in_flight_per_actor=1
            ),
            num_cpus=1,
            num_gpus=run.session.gpus() if ray.cluster_resources().get("GPU") else 0,
        )
        try:
            collect(run, (_result(row) for row in done.iter_rows()))
        except ray.exceptions.RayError as error:
            raise EngineError(
                f"the cluster can't continue: {shorten(error, 600)}; progress is saved: run the same command to resume"
            ) from error

    def _start_collector(self) -> Any:
        if self._collector is None:
            import ray
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

            here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
            self._collector = ray.remote(num_cpus=0)(StatsCollector).options(scheduling_strategy=here).remote()
        return self._collector

    def stats(self, run: Run) -> RunStats:
        """Returns the counters of all workers."""
        import ray

        ours = run.session.stats

        if self._collector is None:
            return ours
        try:
            return add_stats(ours, ray.get(self._collector.all.remote(), timeout=REPORT_SECONDS))
        except ray.exceptions.RayError:
            return ours


def count_workers(run: Run, options: RayOptions) -> int:
    """Returns the number of workers. Raises UsageError if the cluster has too few GPUs for one."""
    import ray

    gpus, needed = int(ray.cluster_resources().get("GPU", 0)), run.session.gpus()
    if gpus and needed > gpus:
        raise UsageError(f"a worker needs {needed} GPUs, and the cluster has {gpus}")
    if options.workers is not None:
        if gpus and needed * options.workers > gpus:
            raise UsageError(f"{options.workers} workers with {needed} GPUs each are more than the cluster's {gpus}")
        return options.workers
    if gpus and needed:
        return gpus // needed
    return max(1, sum(1 for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1))


@contextlib.contextmanager
def join_cluster(address: str | None) -> Iterator[None]:
    """Connects to a Ray cluster, unless this process is already connected, and disconnects afterwards.

    Raises:
        UsageError: if Ray is not installed, or nothing answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage statistics; read when ray is imported
    try:
        import ray
    except ImportError as error:
        raise UsageError("--executor ray needs Ray: `pip install 'mminf[ray]'`") from error
    if ray.is_initialized():
        yield
        return
    _check_address(address)
    try:
        ray.init(address=address, log_to_driver=True, logging_level=logging.WARNING)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise UsageError(f"--address {address}: no Ray cluster answers there ({error})") from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_address(address: str | None) -> None:
    """Checks that a cluster answers, because Ray itself retries for minutes and gives no reason."""
    if address is None or address in ("auto", "local"):
        return
    host, _, port = address.rpartition(":")
    if address.startswith("ray://") or not host or not port.isdecimal():
        raise UsageError(
            f"--address {address!r}: give host:port of the cluster's head node as a machine of the cluster sees it, "
            "or `auto` on one of its machines; from outside, use `ray job submit`"
        )
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise UsageError(f"--address {address}: no Ray cluster answers there ({error})") from error
