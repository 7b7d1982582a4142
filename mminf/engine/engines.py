"""Engines as steps see them: loaded when a call first needs them, counted, closed at the end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from mminf.backend.base import Backend
from mminf.engine.stats import EngineStats
from mminf.errors import EngineError, RequestError
from mminf.recipe.config import EngineConfig
from mminf.record import digest
from mminf.registry import BACKENDS
from mminf.request import Generation, Request

log = logging.getLogger("mminf")


class Engine:
    """A named model of a recipe.

    Args:
        backend: serves it; shared by engines with equal settings, so that no model is loaded twice.
        turn: held while a model loads, so that two never load at once.
    """

    def __init__(self, backend: Backend, stats: EngineStats, turn: asyncio.Lock) -> None:
        self.backend = backend
        self.stats = stats
        self.identity = backend.identity()
        self._turn = turn
        self._loaded = False
        self._failure: EngineError | None = None
        limit = backend.config.max_concurrency
        self._slots = asyncio.Semaphore(limit) if limit else None

    async def ready(self) -> None:
        """Loads the model if it isn't. Raises EngineError if it can't be, now and ever after."""
        if not self._loaded:
            async with self._turn:
                await self._load_once()

    async def _load_once(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._loaded:
            return
        self.stats.state = "loading"
        log.info("loading %s (%s)", self.stats.model, self.stats.backend)
        started = time.monotonic()
        try:
            await asyncio.to_thread(self.backend.load)
        except EngineError as error:
            self._failure = error
            self.stats.state = "failed"
            raise
        self.stats.load_seconds = time.monotonic() - started
        self.stats.state = "ready"
        self._loaded = True
        log.info("loaded %s in %.1f s", self.stats.model, self.stats.load_seconds)

    async def generate(self, request: Request, check: Callable[[], None]) -> Generation:
        """Answers a request; see `Backend.generate`.

        Args:
            check: called when the call is about to start; raises if none may any more.
        """
        await self.ready()
        if self._slots is None:
            check()
            return await self._generate(request)
        async with self._slots:
            check()
            return await self._generate(request)

    async def _generate(self, request: Request) -> Generation:
        stats = self.stats
        stats.in_flight += 1
        try:
            answer = await self.backend.generate(request)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise RequestError("the backend cancelled the call") from error  # nobody here asked for that
        finally:
            stats.in_flight -= 1
        stats.calls += 1
        stats.prompt_tokens += answer.prompt_tokens
        stats.completion_tokens += answer.completion_tokens
        return answer

    async def close(self) -> None:
        if self._loaded:
            self._loaded = False
            await self.backend.close()


def make_engines(configs: Mapping[str, EngineConfig]) -> dict[str, Engine]:
    """Returns the engines of a recipe by name; those with equal settings are one."""
    turn = asyncio.Lock()
    by_settings: dict[str, Engine] = {}
    engines: dict[str, Engine] = {}
    for name, config in configs.items():
        settings = digest(config.model_dump(mode="json"))
        if settings not in by_settings:
            made: Any = BACKENDS.get(config.backend)(config)
            by_settings[settings] = Engine(made, EngineStats(name, config.model, config.backend), turn)
        engines[name] = by_settings[settings]
    return engines
