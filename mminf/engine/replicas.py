"""Replicas: several copies of one model, each on its own devices, with the interface of one engine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mminf.engine.engines import Engine
from mminf.engine.gpu_time import Hold
from mminf.engine.stats import EngineStats
from mminf.errors import EngineError, Interrupted
from mminf.image import View
from mminf.recipe.config import EngineConfig
from mminf.record import digest
from mminf.registry import BACKENDS
from mminf.request import Generation, Request

log = logging.getLogger("mminf")
SLACK = 4
"""Maximum number of calls in flight by which a copy that has the image in its caches may exceed the least busy one."""


class Replicas(Engine):
    """Sends each call to the copy with the fewest in flight; calls about one image go to one copy if it is not busier.

    Calls start as soon as the first copy is loaded; the others are loaded meanwhile, one after the other.
    """

    def __init__(self, copies: Sequence[Engine]) -> None:
        first = copies[0]
        super().__init__(first.backend, first.stats, asyncio.Lock())
        self.copies = copies
        self.busy = [0] * len(copies)
        self._loads: list[asyncio.Task[None]] = []
        self._queue = asyncio.Lock()
        self._closing = False

    @property
    def memory(self) -> Mapping[str, float]:
        taken: dict[str, float] = {}
        for copy in self.copies:
            for device, share in copy.memory.items():
                taken[device] = taken.get(device, 0.0) + share
        return taken

    def holds(self) -> list[Hold]:
        return [hold for copy in self.copies for hold in copy.holds()]

    @property
    def loaded(self) -> bool:
        return any(copy.loaded for copy in self.copies)

    @property
    def view(self) -> View:
        return next((copy.view for copy in self.copies if copy.loaded), self.backend.view)

    @property
    def capacity(self) -> int:
        return sum(copy.capacity for copy in self.copies)

    async def ready(self) -> None:
        if not self._loads:
            self._begin_loads()
        waiting = {load for load in self._loads if not load.done()}
        while waiting and not self.loaded:
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not self.loaded and not self._closing and (alive := self._copies_that_loaded()):
            await alive[0].ready()  # all copies have died since they were loaded: load one of them again
        if not self.loaded:
            raise self._failure_of_loads()

    def _begin_loads(self) -> None:
        self._closing = False
        self._loads = [asyncio.create_task(self._load(copy)) for copy in self.copies]
        for load in self._loads:
            load.add_done_callback(lambda done: done.cancelled() or done.exception())  # logged already

    def _failure_of_loads(self) -> BaseException:
        loads, self._loads = self._loads, []
        failures = [error for load in loads if not load.cancelled() and (error := load.exception())]
        return failures[0] if failures else Interrupted("closed while it was loading")

    def _copies_that_loaded(self) -> list[Engine]:
        pairs = zip(self.copies, self._loads, strict=True) if self._loads else ()
        return [copy for copy, load in pairs if load.done() and not load.cancelled() and load.exception() is None]

    async def _load(self, copy: Engine) -> None:
        """Loads a copy, unless the replicas are closing. If it can't be loaded, its calls are sent to the others."""
        try:
            async with self._queue:
                if not self._closing:
                    await copy.ready()
        except EngineError as error:
            log.warning("replica %d of %s: %s", copy.backend.number, self.stats.model, error)
            raise

    async def generate(self, request: Request, check: Callable[[], None]) -> Generation:
        await self.ready()
        number = self.choose(request)
        self.busy[number] += 1
        try:
            return await self.copies[number].generate(request, check)
        finally:
            self.busy[number] -= 1

    def choose(self, request: Request) -> int:
        """Returns the number of the copy that a request goes to."""
        loaded = [number for number, copy in enumerate(self.copies) if copy.loaded]
        idlest = min(loaded, key=self.busy.__getitem__)
        if request.images:
            known = loaded[int(request.images[0].digest[:8], 16) % len(loaded)]
            if self.busy[known] <= self.busy[idlest] + SLACK:
                return known
        return idlest

    def retry_load(self) -> None:
        for copy in self.copies:
            copy.retry_load()

    @property
    def alive(self) -> bool:
        return any(copy.alive for copy in self.copies)

    async def suspend(self) -> None:
        await self._end_loads()
        await asyncio.gather(*(copy.suspend() for copy in self.copies))

    async def close(self) -> None:
        await self._end_loads()
        await asyncio.gather(*(copy.close() for copy in self.copies))

    async def _end_loads(self) -> None:
        self._closing = True
        loads, self._loads = self._loads, []
        await asyncio.gather(*loads, return_exceptions=True)  # a load in progress can't be stopped


def make_engines(configs: Mapping[str, EngineConfig]) -> dict[str, Engine]:
    """Returns the engines of a recipe by name; those with equal settings, other than prices, are one."""
    loading = asyncio.Lock()
    by_settings: dict[str, Engine] = {}
    engines: dict[str, Engine] = {}
    for name, config in configs.items():
        settings = digest(config.model_dump(mode="json", exclude={"price"}))
        if settings not in by_settings:
            stats = EngineStats(name, config.model, config.backend)
            copies = []
            for number in range(getattr(config, "replicas", 1)):
                made: Any = BACKENDS.get(config.backend)(config)
                made.be_replica(number)
                copies.append(Engine(made, stats, loading))
            by_settings[settings] = copies[0] if len(copies) == 1 else Replicas(copies)
        engines[name] = by_settings[settings]
    return engines
