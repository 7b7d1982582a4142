"""Runs a recipe's shards as tasks of a Ray cluster, through Ray Data.

Each actor has the recipe's engines and processes one shard after the other; a shard whose worker or node is lost goes
to another actor, which resumes where the shard's journal ends. Docs: Ray, "Ray Data", `Dataset.map_batches`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import pickle
import secrets
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict

from mminf.backend.base import shorten
from mminf.engine.result import RunResult
from mminf.engine.run import Run, open_run
from mminf.engine.stats import RunStats, add_stats
from mminf.errors import EngineError, Interrupted, LockedError, MminfError, UsageError
from mminf.executor.marker import NONCE, check_shared
from mminf.executor.options import RayOptions
from mminf.plugin import discover, install_sources, plugin_sources
from mminf.recipe.model import Recipe
from mminf.record import Json
from mminf.shard import Shard
from mminf.sharding.coordinator import Coordinator
from mminf.sharding.phase import Phase
from mminf.sharding.worker import work_shard
from mminf.states import RunState

log = logging.getLogger("mminf")
SHARDS_PER_WORKER = 4
STATS_SECONDS = 2.0
LOCK_SECONDS = 180.0
"""Seconds that a shard waits for the lock of its previous worker; network file systems release it with a delay."""


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerSpec:
    """The description of the run that is pickled and sent to the workers.

    Attributes:
        plugins: sources of the plugin files that the recipe uses, by module name.
        nonce: the required content of the marker, which shows that the output folder is the driver's.
    """

    recipe: Recipe
    plugins: Mapping[str, tuple[str, str]]
    output: Path
    limit: int | None
    nonce: str
    folder: str

    def pack(self) -> bytes:
        """Returns the pickled spec, with the plugins separate, because they must be loaded before the recipe."""
        return pickle.dumps((self.plugins, pickle.dumps(self)))

    @staticmethod
    def unpack(data: bytes) -> WorkerSpec:
        """Returns the spec that `pack` pickled, on another machine."""
        discover()
        plugins, rest = pickle.loads(data)  # noqa: S301 (from our own driver)
        install_sources(plugins)
        spec: WorkerSpec = pickle.loads(rest)  # noqa: S301
        return spec


class Task(TypedDict, total=False):
    """A row of Ray's dataset: a shard in a phase, and its result. `error` is empty if there was none."""

    index: int
    count: int
    phase: str
    state: str
    error: str
    stopped: str


class ShardWorker:
    """An actor of Ray Data: works on shards in a phase, one after the other, with engines that stay loaded.

    Args:
        spec: what `WorkerSpec.pack` returned.
        collector: actor that collects counters.
    """

    def __init__(self, spec: bytes, collector: Any) -> None:
        self._spec = spec
        self._collector = collector
        self._run: Run | None = None
        self._nonce = ""
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="mminf-run", daemon=True).start()

    def __call__(self, row: Task) -> Task:
        """Works on one shard in a phase. Errors that the user can fix are returned as `error`; Ray retries others."""
        phase = Phase.load(row["phase"])
        assert phase is not None
        shard = Shard(int(row["index"]), int(row["count"]))
        try:
            run = self._open()
            run.session.stats.begin_shard()
            state = asyncio.run_coroutine_threadsafe(self._work(run, shard, phase), self._loop).result()
        except MminfError as error:
            return {**row, "state": RunState.FAILED.value, "error": f"{socket.gethostname()}: {error}", "stopped": ""}
        return {**row, "state": state.value, "error": "", "stopped": run.session.stats.stopped or ""}

    def _open(self) -> Run:
        """Opens the run at the first call, because Ray does not pass an error of the constructor to the driver."""
        if self._run is None:
            log.setLevel(logging.WARNING)
            spec = WorkerSpec.unpack(self._spec)
            if Path(spec.folder).is_dir():
                os.chdir(spec.folder)  # paths may be relative to where the run was started
            self._nonce = spec.nonce
            self._run = open_run(spec.recipe, spec.output, limit=spec.limit, keep_engines=True)
            threading.Thread(target=self._tell, args=(self._run,), name="mminf-stats", daemon=True).start()
        return self._run

    async def _work(self, run: Run, shard: Shard, phase: Phase) -> RunState:
        await check_shared(run.target, self._nonce, f"a worker on {socket.gethostname()}")
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                return await work_shard(run, shard, phase)
            except LockedError:
                # The previous worker of this shard may not have ended yet.
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(1)

    def _tell(self, run: Run) -> None:
        import ray

        name = secrets.token_hex(4)
        while True:
            time.sleep(STATS_SECONDS)
            with contextlib.suppress(Exception):  # the driver may have ended; a lost progress report is harmless
                drain = ray.get(self._collector.put.remote(name, run.session.stats.snapshot()), timeout=30)
                if drain:
                    self._loop.call_soon_threadsafe(run.session.drain)


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


class RayWork:
    """The driver's work; call it with the run. The cluster must have been joined."""

    def __init__(self, options: RayOptions) -> None:
        self.options = options
        self._collector: Any = None

    async def __call__(self, run: Run) -> RunResult:
        """Runs the recipe on the cluster.

        Raises:
            UsageError: if a worker can't work, or the cluster is too small.
        """
        async with run.workspace.lead():
            workers = count_workers(run, self.options)
            shards = self.options.shards or SHARDS_PER_WORKER * workers
            log.info("%d workers on the cluster, %d shards", workers, shards)
            nonce = secrets.token_hex(8)
            (run.target / NONCE).write_text(nonce)
            spec = make_spec(run, nonce)

            async def run_phase(phase: Phase) -> None:
                await self._wait(run, asyncio.to_thread(self._phase, run, spec, phase, workers, shards))

            result = await Coordinator(run, shards).run(run_phase)
            if not run.session.stats.ending or result.state is RunState.FINISHED:
                (run.target / NONCE).unlink(missing_ok=True)
            return result

    async def _wait(self, run: Run, work: Coroutine[None, None, None]) -> None:
        """Waits for a phase; when the run drains, the workers drain as well."""
        run.session.watch_over(asyncio.current_task())
        task = asyncio.create_task(work)
        while not task.done():
            await asyncio.wait({task}, timeout=0.5)
            if run.session.stats.draining and self._collector is not None:
                self._collector.drain.remote()
        task.result()

    def _phase(self, run: Run, spec: bytes, phase: Phase, workers: int, shards: int) -> None:
        """Runs a phase on all shards. Raises Interrupted if one of them has not finished it."""
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.ERROR)  # it logs its plan, its pool and its progress
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.enable_operator_progress_bars = False
        rows = [{"index": index, "count": shards, "phase": phase.dump()} for index in range(shards)]
        done = ray.data.from_items(rows, override_num_blocks=shards).map(
            ShardWorker,
            fn_constructor_args=(spec, self._start_collector()),
            compute=ray.data.ActorPoolStrategy(
                min_size=1, max_size=workers, initial_size=workers, max_tasks_in_flight_per_actor=1
            ),
            num_cpus=1,
            num_gpus=run.session.gpus() if ray.cluster_resources().get("GPU") else 0,
        )
        try:
            stopped = [reason for row in done.iter_rows() if (reason := _check_row(run, row)) is not None]
        except ray.exceptions.RayError as error:
            raise EngineError(
                f"the cluster can't continue: {shorten(error, 600)}; progress is saved: run the same command to resume"
            ) from error
        if stopped:
            run.session.stats.stop(stopped[0])
            raise Interrupted(stopped[0])

    def _start_collector(self) -> Any:
        if self._collector is None:
            import ray
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

            here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
            self._collector = ray.remote(num_cpus=0)(StatsCollector).options(scheduling_strategy=here).remote()
        return self._collector

    def watch(self, run: Run) -> Callable[[], None]:
        """Shows the progress of all workers until the returned function is called."""
        from mminf.report.progress import show_stats

        return show_stats(lambda: self._whole(run.session.stats))

    def _whole(self, ours: RunStats) -> RunStats:
        import ray

        if self._collector is None:
            return ours
        try:
            return add_stats(ours, ray.get(self._collector.all.remote(), timeout=STATS_SECONDS))
        except ray.exceptions.RayError:
            return ours


def _check_row(run: Run, row: Task) -> str | None:
    """Checks the result of a shard. Returns the reason if it has used up its share of the budget.

    Raises:
        EngineError: if the shard has failed.
        Interrupted: if the shard was interrupted, or the run is draining.
    """
    if row["error"]:
        raise EngineError(f"shard {row['index']} of {row['count']}: {row['error']}")
    if run.session.stats.draining or (row["state"] != RunState.FINISHED and not row["stopped"]):
        raise Interrupted("the run is draining")
    return row["stopped"] or None


def make_spec(run: Run, nonce: str) -> bytes:
    """Returns the pickled description of the run for the workers."""
    recipe = dataclasses.replace(run.plan.recipe, path=run.plan.recipe.path.resolve())
    spec = WorkerSpec(recipe, plugin_sources(), run.target.absolute(), run.plan.limit, nonce, str(Path.cwd()))
    try:
        return spec.pack()
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise UsageError(
            f"a step of the recipe can't be sent to workers, since it can't be pickled: {error}"
        ) from error


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
