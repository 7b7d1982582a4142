"""A worker in another process or on another machine: opens the run that was sent to it, and works on its shards."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import pickle
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from mminf.engine.run import Run, open_run
from mminf.errors import EngineError, Interrupted, LockedError, MminfError, UsageError
from mminf.executor.marker import check_shared
from mminf.plugin import discover, install_sources, plugin_sources
from mminf.recipe.model import Recipe
from mminf.record import Json
from mminf.shard import Shard
from mminf.sharding.phase import Phase
from mminf.sharding.worker import work_shard
from mminf.states import RunState

log = logging.getLogger("mminf")
REPORT_SECONDS = 2.0
LOCK_SECONDS = 180.0
"""Seconds that a shard waits for the lock of its previous worker; network file systems release it with a delay."""

Report = Callable[[Mapping[str, Json]], bool]
"""Sends a worker's counters to the leading process. Returns whether the worker must drain."""


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerSpec:
    """The description of a run that is pickled and sent to the workers.

    Attributes:
        plugins: sources of the plugin files that the recipe uses, by module name.
        nonce: the required content of the marker, which shows that the output folder is that of the leading process.
    """

    recipe: Recipe
    plugins: Mapping[str, tuple[str, bytes]]
    output: Path
    limit: int | None
    nonce: str
    folder: str

    @classmethod
    def of(cls, run: Run, nonce: str) -> WorkerSpec:
        """Describes a run whose marker has been placed."""
        recipe = dataclasses.replace(run.plan.recipe, path=run.plan.recipe.path.resolve())
        return cls(recipe, plugin_sources(), run.target.absolute(), run.plan.limit, nonce, str(Path.cwd()))

    def pack(self) -> bytes:
        """Returns the pickled spec, with the plugins separate, because they must be loaded before the recipe.

        Raises:
            UsageError: if a step can't be pickled.
        """
        try:
            return pickle.dumps((self.plugins, pickle.dumps(self)))
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise UsageError(
                f"a step of the recipe can't be sent to workers, since it can't be pickled: {error}"
            ) from error

    @staticmethod
    def unpack(data: bytes) -> WorkerSpec:
        """Returns the spec that `pack` pickled, on another machine."""
        discover()
        plugins, rest = pickle.loads(data)  # noqa: S301 (from our own leading process)
        install_sources(plugins)
        spec: WorkerSpec = pickle.loads(rest)  # noqa: S301
        return spec


class ShardResult(NamedTuple):
    """What became of a shard in a phase.

    Attributes:
        error: why it can't continue, with the name of the machine; empty if it can.
        stopped: reason if it has used up its share of the budget.
    """

    shard: Shard
    state: RunState
    error: str = ""
    stopped: str = ""


class Worker:
    """Works on shards, one after the other, with engines that stay loaded between them.

    The run is opened at the first shard, so that an error is returned as the result of that shard.

    Args:
        spec: what `WorkerSpec.pack` returned.
        report: called every REPORT_SECONDS and after each shard; its exceptions are ignored.
    """

    def __init__(self, spec: bytes, report: Report) -> None:
        self._spec = spec
        self._report = report
        self._run: Run | None = None
        self._nonce = ""
        self._over = threading.Event()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="mminf-run", daemon=True).start()

    def work(self, shard: Shard, phase: Phase) -> ShardResult:
        """Works on one shard in a phase. Errors that the user can fix are part of the result; others are raised."""
        try:
            run = self._open()
            run.session.stats.begin_shard()
            state = asyncio.run_coroutine_threadsafe(self._work(run, shard, phase), self._loop).result()
        except MminfError as error:
            return ShardResult(shard, RunState.FAILED, f"{socket.gethostname()}: {error}")
        self._tell_once(run)
        return ShardResult(shard, state, stopped=run.session.stats.stopped or "")

    def close(self) -> None:
        """Frees the models, and ends the threads. A worker whose process ends anyway need not be closed."""
        self._over.set()
        if self._run is not None:
            asyncio.run_coroutine_threadsafe(self._run.session.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _open(self) -> Run:
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
        while not self._over.wait(REPORT_SECONDS):
            self._tell_once(run)

    def _tell_once(self, run: Run) -> None:
        with contextlib.suppress(Exception):  # the leading process may have ended; a lost report is harmless
            if self._report(run.session.stats.snapshot()):
                self._loop.call_soon_threadsafe(run.session.drain)


def collect(run: Run, results: Iterable[ShardResult]) -> None:
    """Takes the results of the shards of a phase, as they come, in the leading process.

    Raises:
        EngineError: if a shard has failed.
        Interrupted: if a shard was interrupted, the run is draining, or at the end if a budget is used up.
    """
    stopped = []
    for result in results:
        if result.error:
            raise EngineError(f"shard {result.shard.index} of {result.shard.count}: {result.error}")
        if run.session.stats.draining or (result.state is not RunState.FINISHED and not result.stopped):
            raise Interrupted("the run is draining")
        if result.stopped:
            stopped.append(result.stopped)
    if stopped:
        run.session.stats.stop(stopped[0])
        raise Interrupted(stopped[0])
