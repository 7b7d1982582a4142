"""Runs a recipe's parts as tasks of a Ray cluster, through Ray Data.

Each actor holds the recipe's engines and takes one part after the other; a part whose worker or node is lost goes to
another actor, which goes on where the part's journal ends. Docs: Ray, "Ray Data", `Dataset.map_batches`.
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
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from mminf.backend.base import shorten
from mminf.engine.parts import Coordinator, Phase, interrupted, work_part
from mminf.engine.result import RunResult
from mminf.engine.run import Run, gpus_needed, lead
from mminf.engine.stats import RunStats, add_stats
from mminf.errors import EngineError, Interrupted, JournalError, MminfError, UsageError
from mminf.executor.marker import NONCE, check_shared
from mminf.executor.options import RayOptions
from mminf.part import Part
from mminf.plugin import discover, install_sources, plugin_sources
from mminf.recipe.model import Recipe

log = logging.getLogger("mminf")
PARTS_A_WORKER = 4
STATS_SECONDS = 2.0
LOCK_SECONDS = 180.0
"""How long a part waits for the lock of the worker that had it before: a network file system keeps it for a while."""


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """What a worker is told; pickled.

    Attributes:
        plugins: sources of the plugin files that the recipe uses, by module name.
        nonce: what the output folder's marker must say, so that it is known to be the driver's.
    """

    recipe: Recipe
    plugins: Mapping[str, tuple[str, str]]
    output: Path
    limit: int | None
    nonce: str
    folder: str

    def pack(self) -> bytes:
        """Returns it pickled; plugins apart, since they must be there before the recipe can be read."""
        return pickle.dumps((self.plugins, pickle.dumps(self)))

    @staticmethod
    def unpack(data: bytes) -> Order:
        """Returns what `pack` packed, on another machine."""
        discover()
        plugins, rest = pickle.loads(data)  # noqa: S301 (from our own driver)
        install_sources(plugins)
        order: Order = pickle.loads(rest)  # noqa: S301
        return order


class PartWorker:
    """An actor of Ray Data: takes parts through a phase, one after the other, with engines that stay loaded.

    Args:
        order: what `Order.pack` returned.
        board: actor that collects counters.
    """

    def __init__(self, order: bytes, board: Any) -> None:
        self._order = order
        self._board = board
        self._run: Run | None = None
        self._nonce = ""
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="mminf-run", daemon=True).start()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Takes one part through a phase. What the user can mend comes back as `error`; all else Ray tries again."""
        phase = Phase.load(row["phase"])
        assert phase is not None
        part = Part(int(row["number"]), int(row["of"]))
        try:
            run = self._open()
            state = asyncio.run_coroutine_threadsafe(self._work(run, part, phase), self._loop).result()
        except MminfError as error:
            return {**row, "state": "failed", "error": f"{socket.gethostname()}: {error}", "stopped": ""}
        return {**row, "state": state, "error": "", "stopped": run.stats.stopped or ""}

    def _open(self) -> Run:
        """Makes the run on the first call: an error of a constructor would not reach the driver as one."""
        if self._run is None:
            log.setLevel(logging.WARNING)
            order = Order.unpack(self._order)
            if Path(order.folder).is_dir():
                os.chdir(order.folder)  # paths may be relative to where the run was started
            self._nonce = order.nonce
            self._run = Run(order.recipe, order.output, limit=order.limit)
            self._run.keep_engines = True
            threading.Thread(target=self._tell, args=(self._run,), name="mminf-stats", daemon=True).start()
        return self._run

    async def _work(self, run: Run, part: Part, phase: Phase) -> str:
        await check_shared(run.target, self._nonce, f"a worker on {socket.gethostname()}")
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                return await work_part(run, part, phase)
            except JournalError as error:
                # The worker that had this part before may not be quite dead yet.
                if "another run" not in str(error) or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(1)

    def _tell(self, run: Run) -> None:
        import ray

        name = secrets.token_hex(4)
        while True:
            time.sleep(STATS_SECONDS)
            with contextlib.suppress(Exception):  # the driver is gone, or going; progress is not worth a failure
                drain = ray.get(self._board.put.remote(name, run.stats.snapshot()), timeout=30)
                if drain:
                    self._loop.call_soon_threadsafe(run.drain)


class StatsBoard:
    """An actor that collects the counters of the workers."""

    def __init__(self) -> None:
        self._notes: dict[str, tuple[float, dict[str, Any]]] = {}
        self._draining = False

    def put(self, name: str, stats: dict[str, Any]) -> bool:
        """Takes a worker's counters. Returns whether it is to start no new calls."""
        self._notes[name] = (time.monotonic(), stats)
        return self._draining

    def drain(self) -> None:
        """Lets workers start no new calls, from their next note on."""
        self._draining = True

    def all(self, seconds: float = 30.0) -> list[dict[str, Any]]:
        """Returns the counters of the workers that live; what a dead one has done is read again by its successor."""
        now = time.monotonic()
        return [stats for at, stats in self._notes.values() if now - at < seconds]


class RayWork:
    """The driver's work; call it with the run. The cluster must have been joined."""

    def __init__(self, options: RayOptions) -> None:
        self.options = options
        self.board: Any = None

    async def __call__(self, run: Run) -> RunResult:
        """Runs the recipe on the cluster.

        Raises:
            UsageError: if a worker can't work, or the cluster is too small.
        """
        async with lead(run):
            workers = count_workers(run, self.options)
            of = self.options.parts or PARTS_A_WORKER * workers
            log.info("%d workers on the cluster, %d parts", workers, of)
            nonce = secrets.token_hex(8)
            (run.target / NONCE).write_text(nonce)
            order = make_order(run, nonce)
            coordinator = Coordinator(run, of)
            phase = await coordinator.begin()
            try:
                while phase is not None:
                    await self._wait(run, asyncio.to_thread(self._phase, run, order, phase, workers, of))
                    phase = await coordinator.merge(phase)
            except (Interrupted, asyncio.CancelledError):
                if not run.stats.ending:
                    raise
                return interrupted(run)
            (run.target / NONCE).unlink(missing_ok=True)
            return await coordinator.end("interrupted" if run.stats.ending else "finished")

    async def _wait(self, run: Run, work: Coroutine[Any, Any, None]) -> None:
        """Waits for a phase; when the run drains, the workers are told."""
        run.watch_over(asyncio.current_task())
        task = asyncio.create_task(work)
        while not task.done():
            await asyncio.wait({task}, timeout=0.5)
            if run.stats.draining and self.board is not None:
                self.board.drain.remote()
        task.result()

    def _phase(self, run: Run, order: bytes, phase: Phase, workers: int, of: int) -> None:
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.ERROR)  # it tells of its plan, its pool and its bars
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.enable_operator_progress_bars = False
        rows = [{"number": number, "of": of, "phase": phase.dump()} for number in range(of)]
        parts = ray.data.from_items(rows, override_num_blocks=of)
        done = parts.map(
            PartWorker,
            fn_constructor_args=(order, self._board()),
            compute=ray.data.ActorPoolStrategy(
                min_size=1, max_size=workers, initial_size=workers, max_tasks_in_flight_per_actor=1
            ),
            num_cpus=1,
            num_gpus=gpus_needed(run) if ray.cluster_resources().get("GPU") else 0,
        )
        try:
            for row in done.iter_rows():
                if row["error"]:
                    raise EngineError(f"part {row['number']} of {of}: {row['error']}")
                run.stats.stop(row["stopped"] or None)
                if row["state"] != "finished" or run.stats.ending:
                    raise Interrupted("the run is draining")
        except ray.exceptions.RayError as error:
            raise EngineError(
                f"the cluster can't go on: {shorten(error, 600)}; what is done is kept: run the same command again"
            ) from error

    def _board(self) -> Any:
        if self.board is None:
            import ray
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

            here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
            self.board = ray.remote(num_cpus=0)(StatsBoard).options(scheduling_strategy=here).remote()
        return self.board

    def watch(self, run: Run) -> Callable[[], None]:
        """Shows the progress of all workers until what it returns is called."""
        from mminf.report.progress import show_stats

        return show_stats(lambda: self._whole(run.stats))

    def _whole(self, ours: RunStats) -> RunStats:
        import ray

        if self.board is None:
            return ours
        try:
            return add_stats(ours, ray.get(self.board.all.remote(), timeout=STATS_SECONDS))
        except ray.exceptions.RayError:
            return ours


def make_order(run: Run, nonce: str) -> bytes:
    """Returns what workers need to know, packed."""
    recipe = dataclasses.replace(run.recipe, path=run.recipe.path.resolve())
    order = Order(recipe, plugin_sources(), run.target.absolute(), run.limit, nonce, str(Path.cwd()))
    try:
        return order.pack()
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise UsageError(
            f"a step of the recipe can't be sent to workers, since it can't be pickled: {error}"
        ) from error


def count_workers(run: Run, options: RayOptions) -> int:
    """Returns how many workers there will be. Raises UsageError if the cluster hasn't the GPUs for one."""
    import ray

    gpus, needed = int(ray.cluster_resources().get("GPU", 0)), gpus_needed(run)
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
def join_cluster(address: str | None) -> Any:
    """Joins a Ray cluster, unless this process has already; leaves it afterwards.

    Raises:
        UsageError: if Ray is not installed, or nothing answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody asked for what Ray sends; read on import
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
    """Ray itself tries for minutes, and says no more than that it failed."""
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
