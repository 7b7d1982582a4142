"""Engines as steps see them: loaded when a call first needs them, counted, swapped where not all fit, closed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from mminf.backend.base import Backend
from mminf.engine.stats import EngineStats
from mminf.errors import EngineDied, EngineError, RequestError
from mminf.request import Generation, Request

log = logging.getLogger("mminf")
RESTARTS = 3


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
        self._lives = 1
        self._memory: Mapping[str, float] = {}
        self._slots = asyncio.Semaphore(limit) if limit else None

    @property
    def memory(self) -> Mapping[str, float]:
        """Shares of devices' memory that the model takes, by device, as far as that is known before it is loaded."""
        if not self._memory:  # a model that is not downloaded yet has no size
            self._memory = self.backend.memory()
        return self._memory

    @property
    def capacity(self) -> int:
        """How many calls in flight keep it full."""
        return self.backend.capacity()

    @property
    def loaded(self) -> bool:
        return self._loaded

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
        except Exception as error:
            self._failure = error if isinstance(error, EngineError) else EngineError(_unforeseen(self.stats, error))
            self.stats.state = "failed"
            raise self._failure from error
        self.stats.load_seconds = time.monotonic() - started
        self.stats.state = "ready"
        self.stats.loads += 1
        self._loaded = True
        log.info("loaded %s in %.1f s", self.stats.model, self.stats.load_seconds)

    async def generate(self, request: Request, check: Callable[[], None]) -> Generation:
        """Answers a request; see `Backend.generate`.

        Args:
            check: called when the call is about to start; raises if none may any more.
        """
        if self._slots is None:
            return await self._generate_on(request, check)
        async with self._slots:
            return await self._generate_on(request, check)

    async def _generate_on(self, request: Request, check: Callable[[], None]) -> Generation:
        """Asks again where the engine died meanwhile, once it is loaded again."""
        while True:
            check()
            await self.ready()
            life = self._lives
            try:
                return await self._generate(request)
            except EngineDied as error:
                await self._revive(life, error, check)

    async def _revive(self, life: int, error: EngineDied, check: Callable[[], None]) -> None:
        """Loads a dead engine again; of all the calls that it took along, the first one does it."""
        async with self._turn:
            check()  # Ctrl-C reaches an engine's processes, too: nothing is loaded again then
            if self._failure is not None:
                raise self._failure
            if self._lives != life:
                return
            if self._lives > RESTARTS:
                self._failure = EngineError(f"{error} (restarted {RESTARTS} times; what is done is in the journal)")
                self.stats.state = "failed"
                raise self._failure from error
            self._lives += 1
            log.warning("%s; loading it again", error)
            self._loaded = False
            with contextlib.suppress(Exception):  # there may be nothing left to close
                await self.backend.close()
            await self._load_once()

    def forgive(self) -> None:
        """Lets a model be loaded once more that could not be loaded beside others."""
        self._failure = None

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
        """Frees the model; the next call loads it again."""
        if self._loaded:
            self._loaded = False
            await self.backend.close()
            self.stats.state = "idle"


class Pool:
    """Says which engines may be loaded beside each other, and swaps those that may not.

    Args:
        limit: at most so many models in this process at a time; None: as many as memory holds.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.held: list[Engine] = []
        self.alone: set[Engine] = set()

    def reserve(self, engines: Sequence[Engine]) -> None:
        """Gives what room there is to the first engines of those that don't all fit."""
        local = [engine for engine in dict.fromkeys(engines) if engine.backend.local]
        if not self._fit(list(dict.fromkeys([*self.held, *local]))):
            for engine in local:
                self.admit(engine)

    def put_apart(self, engine: Engine, error: EngineError) -> bool:
        """Tells whether an engine that could not be loaded is to be tried again by itself, later."""
        if engine not in self.alone and engine in self.held and any(other is not engine for other in self.held):
            self.alone.add(engine)
            self.held.remove(engine)
            log.warning("%s can't be loaded beside other models, and is tried alone: %s", engine.stats.model, error)
        return engine in self.alone and engine not in self.held

    def _fit(self, engines: Sequence[Engine]) -> bool:
        return fits(engines, 1 if self.alone.intersection(engines) else self.limit)

    def admit(self, engine: Engine) -> bool:
        """Tells whether a call may go to the engine now: it is loaded, or there is room for it, which is then its."""
        if not engine.backend.local or engine in self.held:
            return True
        if self.held and not self._fit([*self.held, engine]):
            return False
        self.held.append(engine)
        return True

    async def swap(self, engine: Engine, later: Sequence[Engine]) -> None:
        """Makes room for an engine, if it has none; no call may be in flight.

        Args:
            later: the engines that are used after this one, in order; what is used latest goes first.
        """
        for leaving in make_room(self.held, engine, later, self._fit):
            started, was_loaded = time.monotonic(), leaving.loaded
            self.held.remove(leaving)
            await leaving.close()
            if was_loaded:
                seconds = time.monotonic() - started
                log.info("unloaded %s in %.1f s to make room for %s", leaving.stats.model, seconds, engine.stats.model)
        if engine in self.alone:
            engine.forgive()
        self.admit(engine)


def fits(engines: Sequence[Engine], limit: int | None) -> bool:
    """Tells whether engines can be loaded beside each other: by number, and by memory where that is known."""
    if limit is not None and len(engines) > limit:
        return False
    if len(engines) < 2:
        return True
    taken: Counter[str] = Counter()
    for engine in engines:
        taken.update(engine.memory)
    return all(share <= 1 for share in taken.values())


def make_room(
    held: Sequence[Engine], engine: Engine, later: Sequence[Engine], fit: Callable[[Sequence[Engine]], bool]
) -> list[Engine]:
    """Returns the engines that must go so that one fits: first those that are needed again latest, or never."""
    staying, leaving = [other for other in held if other is not engine], []
    while staying and not fit([*staying, engine]):
        first_use = {other: later.index(other) if other in later else len(later) for other in staying}
        leaving.append(max(staying, key=first_use.__getitem__))
        staying.remove(leaving[-1])
    return leaving


def count_loads(users: Sequence[Sequence[Engine]], limit: int | None) -> list[Engine]:
    """Returns the engines in the order in which a record that nothing drops has them loaded.

    Args:
        users: for each stage the engines of its steps, in the order in which they are taken.
    """
    held: list[Engine] = []
    loads: list[Engine] = []
    flat = [engine for stage in users for engine in stage if engine.backend.local]
    for number, engine in enumerate(flat):
        if engine not in held:
            for leaving in make_room(held, engine, flat[number + 1 :], lambda beside: fits(beside, limit)):
                held.remove(leaving)
            held.append(engine)
            loads.append(engine)
    return loads


def _unforeseen(stats: EngineStats, error: Exception) -> str:
    return f"model {stats.model!r} can't be loaded by backend {stats.backend!r}: {type(error).__name__}: {error}"
