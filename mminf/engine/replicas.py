"""Several copies of one model, each on devices of its own, behind the face of one engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from mminf.engine.engines import Engine
from mminf.engine.stats import EngineStats
from mminf.recipe.config import EngineConfig
from mminf.record import digest
from mminf.registry import BACKENDS
from mminf.request import Generation, Request

SLACK = 4
"""A copy that has seen the image may have so many more calls in flight than the idlest: its caches are worth a wait."""


class Replicas(Engine):
    """Sends each call to the copy with the fewest in flight; calls about one image go to one copy if it is not busier.

    Calls start as soon as the first copy is loaded; the others are loaded meanwhile, one after the other.
    """

    def __init__(self, copies: Sequence[Engine]) -> None:
        first = copies[0]
        super().__init__(first.backend, first.stats, first._turn)
        self.copies = copies
        self.busy = [0] * len(copies)
        self._loads: list[asyncio.Task[None]] = []

    @cached_property
    def memory(self) -> Mapping[str, float]:
        taken: dict[str, float] = {}
        for copy in self.copies:
            for device, share in copy.memory.items():
                taken[device] = taken.get(device, 0.0) + share
        return taken

    @property
    def capacity(self) -> int:
        return sum(copy.capacity for copy in self.copies)

    async def ready(self) -> None:
        if not self._loads:
            self._loads = [asyncio.create_task(copy.ready()) for copy in self.copies]
        if not any(copy.loaded for copy in self.copies):
            await asyncio.wait(self._loads, return_when=asyncio.FIRST_COMPLETED)
        for load in self._loads:
            if load.done():
                load.result()

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

    async def close(self) -> None:
        loads, self._loads = self._loads, []
        await asyncio.gather(*loads, return_exceptions=True)  # a load that is under way can't be stopped
        await asyncio.gather(*(copy.close() for copy in self.copies))


def make_engines(configs: Mapping[str, EngineConfig]) -> dict[str, Engine]:
    """Returns the engines of a recipe by name; those with equal settings are one."""
    turn = asyncio.Lock()
    by_settings: dict[str, Engine] = {}
    engines: dict[str, Engine] = {}
    for name, config in configs.items():
        settings = digest(config.model_dump(mode="json"))
        if settings not in by_settings:
            stats = EngineStats(name, config.model, config.backend)
            copies = []
            for number in range(getattr(config, "replicas", 1)):
                made: Any = BACKENDS.get(config.backend)(config)
                made.number = number
                copies.append(Engine(made, stats, turn))
            by_settings[settings] = copies[0] if len(copies) == 1 else Replicas(copies)
        engines[name] = by_settings[settings]
    return engines
