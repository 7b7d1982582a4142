"""Engines: load a model at its first call, count the calls, restart an engine that dies, free the model."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping

from mminf.backend.base import Backend
from mminf.backend.devices import may_have_gpu
from mminf.engine.gpu_time import Hold
from mminf.engine.stats import EngineStats
from mminf.errors import EngineDied, EngineError, RequestError
from mminf.image import View
from mminf.request import Generation, Request
from mminf.states import EngineState

log = logging.getLogger("mminf")
RESTARTS = 3


class Engine:
    """A named model of a recipe.

    Args:
        backend: serves the model; shared by engines with equal settings, so that no model is loaded twice.
        loading: lock that is held while a model loads, so that two models never load at the same time.
    """

    def __init__(self, backend: Backend, stats: EngineStats, loading: asyncio.Lock) -> None:
        self.backend = backend
        self.stats = stats
        self.identity = backend.identity()
        self._loading = loading
        self._loaded = self._asleep = False
        self._failure: EngineError | None = None
        limit = backend.config.max_concurrency
        self._lives = 1
        self._memory: Mapping[str, float] = {}
        self._holds: list[Hold] = []
        self._since: float | None = None
        self._slots = asyncio.Semaphore(limit) if limit else None

    @property
    def memory(self) -> Mapping[str, float]:
        """The share of each device's memory that the model takes; empty if unknown before loading."""
        if not self._memory:  # a model that is not downloaded yet has no size
            self._memory = self.backend.memory()
        return self._memory

    @property
    def gpus(self) -> frozenset[str]:
        """The GPUs that the model takes; empty for servers, and for models on the CPU."""
        known = frozenset(name for name in self.memory if name.startswith("cuda"))
        if self.memory:
            return known
        return frozenset(f"{self.stats.name}/{number}" for number in range(self.backend.gpus()))

    def holds(self) -> list[Hold]:
        """Returns when the model has held GPUs, up to now."""
        held = self._held() if self._since is not None else []
        return [*self._holds, *held]

    def _held(self) -> list[Hold]:
        assert self._since is not None
        if not may_have_gpu():  # a model that is not downloaded has no known size, and would count as one on a GPU
            return []
        now = time.monotonic()
        return [Hold(device, self._since, now) for device in self.gpus]

    def _let_go(self) -> None:
        if self._since is not None:
            self._holds += self._held()
            self._since = None

    @property
    def capacity(self) -> int:
        """The number of calls in flight that keep the engine busy."""
        return self.backend.capacity()

    @property
    def loaded(self) -> bool:
        return self._loaded

    @property
    def loads_model(self) -> bool:
        """Whether the backend loads the model; that of a server is loaded already."""
        return type(self.backend).load is not Backend.load

    @property
    def alive(self) -> bool:
        """Whether the backend holds resources: the model is loaded, or suspended."""
        return self._loaded or self._asleep

    @property
    def view(self) -> View:
        """The form of the images in requests."""
        return self.backend.view

    async def ready(self) -> None:
        """Loads the model if it is not loaded. Raises EngineError if that fails, and in all later calls."""
        if not self._loaded:
            async with self._loading:
                await self._load_once()

    async def _load_once(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._loaded:
            return
        self.stats.enter(EngineState.LOADING)
        if self.loads_model:
            log.info("loading %s (%s)", self.stats.model, self.stats.backend)
        self._since = started = time.monotonic()
        try:
            await (self.backend.resume() if self._asleep else asyncio.to_thread(self.backend.load))
        except Exception as error:
            self._let_go()
            self.stats.enter(EngineState.FAILED)
            if isinstance(error, EngineError):
                self._failure = error
                raise
            self._failure = EngineError(_unforeseen(self.stats, error))
            raise self._failure from error
        self.stats.count_load(time.monotonic() - started)
        self._loaded, self._asleep = True, False
        if self.loads_model:
            log.info("loaded %s in %.1f s", self.stats.model, self.stats.load_seconds)

    async def generate(self, request: Request, check: Callable[[], None]) -> Generation:
        """Answers a request; see `Backend.generate`.

        Args:
            check: called before the call starts; raises an error if no call may start.
        """
        if self._slots is None:
            return await self._generate_on(request, check)
        started = time.monotonic()
        async with self._slots:
            return await self._generate_on(request, check, time.monotonic() - started)

    async def _generate_on(
        self, request: Request, check: Callable[[], None], waited: float | None = None
    ) -> Generation:
        """Answers a request; if the engine dies, the call is retried after the restart."""
        while True:
            check()
            await self.ready()
            life = self._lives
            try:
                return await self._generate(request, waited)
            except EngineDied as error:
                await self._revive(life, error, check)

    async def _revive(self, life: int, error: EngineDied, check: Callable[[], None]) -> None:
        """Restarts a dead engine, once for all calls that were in flight."""
        async with self._loading:
            check()  # Ctrl-C reaches an engine's processes, too: the engine is not restarted then
            if self._failure is not None:
                raise self._failure
            if self._lives != life:
                return
            if self._lives > RESTARTS:
                self._failure = EngineError(f"{error} (restarted {RESTARTS} times; progress is saved in the journal)")
                self.stats.enter(EngineState.FAILED)
                raise self._failure from error
            self._lives += 1
            log.warning("%s; restarting the engine", error)
            self._loaded = False
            with contextlib.suppress(Exception):  # there may be nothing left to close
                await self.backend.close()
            self._let_go()
            await self._load_once()

    def retry_load(self) -> None:
        """Allows another attempt to load a model that could not be loaded next to others."""
        self._failure = None

    async def _generate(self, request: Request, waited: float | None) -> Generation:
        stats = self.stats
        stats.begin_call()
        started, before = stats.changed, stats.call_seconds
        try:
            answer = await self.backend.generate(request)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise RequestError("the backend cancelled the call") from error  # not by us
        finally:
            stats.end_call()
        stats.count_call(answer)
        seconds = stats.changed - started
        in_flight = (stats.call_seconds - before) / seconds if seconds else float(stats.in_flight + 1)
        return answer.timed(seconds, answer.waited if waited is None else waited, in_flight)

    async def suspend(self) -> None:
        """Frees the devices for another model; the next call loads or resumes the model."""
        if self._loaded:
            self._loaded = False
            self._asleep = await self.backend.suspend()
            self._let_go()
            self.stats.enter(EngineState.IDLE)

    async def close(self) -> None:
        """Frees the model; the next call loads it again."""
        if self.alive:
            self._loaded = self._asleep = False
            await self.backend.close()
            self._let_go()
            self.stats.enter(EngineState.IDLE)


def _unforeseen(stats: EngineStats, error: Exception) -> str:
    return f"model {stats.model!r} can't be loaded by backend {stats.backend!r}: {type(error).__name__}: {error}"
