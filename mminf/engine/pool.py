"""Decides which engines are loaded at the same time, and swaps engines that don't fit together."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence

from mminf.engine.engines import Engine
from mminf.errors import EngineError

log = logging.getLogger("mminf")
_MEMORY = re.compile(r"memory|\bRAM\b|\bOOM\b", re.IGNORECASE)
_DOWNLOADERS = frozenset(
    {"requests", "urllib3", "huggingface_hub", "modelscope", "modelscope_hub", "httpx", "httpcore", "socket"}
)
_NOT_MEMORY = (ConnectionError, TimeoutError, FileNotFoundError, PermissionError)


class Pool:
    """Decides which engines may be loaded at the same time, and swaps the others.

    Args:
        limit: maximum number of local models that are loaded at the same time; None: memory decides.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._held: list[Engine] = []
        self._alone: set[Engine] = set()

    def reserve(self, engines: Sequence[Engine]) -> None:
        """Reserves the available memory for the first engines, if not all of them fit."""
        local = [engine for engine in dict.fromkeys(engines) if engine.backend.local]
        if not self._fit(list(dict.fromkeys([*self._held, *local]))):
            for engine in local:
                self.admit(engine)

    def retry_alone(self, engine: Engine, error: EngineError) -> bool:
        """Returns whether an engine that could not be loaded is to be loaded alone later."""
        others = any(other is not engine for other in self._held)
        if engine not in self._alone and engine in self._held and others and may_be_memory(error):
            self._alone.add(engine)
            self._held.remove(engine)
            log.warning("%s can't be loaded next to other models; it is loaded alone: %s", engine.stats.model, error)
        return engine in self._alone and engine not in self._held

    def _fit(self, engines: Sequence[Engine]) -> bool:
        return fits(engines, 1 if self._alone.intersection(engines) else self.limit)

    def admit(self, engine: Engine) -> bool:
        """Returns whether a call may be sent to the engine now. Reserves room for the engine, if there is any."""
        if not engine.backend.local or engine in self._held:
            return True
        if self._held and not self._fit([*self._held, engine]):
            return False
        self._held.append(engine)
        return True

    async def swap(self, engine: Engine, later: Sequence[Engine]) -> None:
        """Makes room for an engine, if it has none; no call may be in flight.

        Args:
            later: the engines that are used after this one, in order; the one used latest is unloaded first.
        """
        for leaving in make_room(self._held, engine, later, self._fit):
            started, was_loaded = time.monotonic(), leaving.loaded
            self._held.remove(leaving)
            await leaving.suspend()
            if was_loaded:
                seconds = time.monotonic() - started
                log.info("unloaded %s in %.1f s to make room for %s", leaving.stats.model, seconds, engine.stats.model)
        if engine in self._alone:
            engine.retry_load()
        self.admit(engine)


def may_be_memory(error: EngineError) -> bool:
    """Returns whether a model may have been refused for want of memory: unless a file or the network was the cause."""
    cause: BaseException | None = error
    found: list[BaseException] = []
    while cause is not None and cause not in found:
        found.append(cause)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    causes = found[1:] or found  # the error itself also has advice
    if any(_MEMORY.search(f"{type(item).__name__} {item}") for item in causes):
        return True
    return not any(isinstance(item, _NOT_MEMORY) or _is_web(item) for item in causes)


def _is_web(error: BaseException) -> bool:
    """Returns whether a library that downloads models has raised an exception."""
    return type(error).__module__.partition(".")[0] in _DOWNLOADERS


def fits(engines: Sequence[Engine], limit: int | None) -> bool:
    """Returns whether engines can be loaded at the same time: by number, and by memory if it is known."""
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
    """Returns the engines to unload so that another one fits: first those that are needed again latest, or never."""
    staying, leaving = [other for other in held if other is not engine], []
    while staying and not fit([*staying, engine]):
        first_use = {other: later.index(other) if other in later else len(later) for other in staying}
        leaving.append(max(staying, key=first_use.__getitem__))
        staying.remove(leaving[-1])
    return leaving


def count_loads(users: Sequence[Sequence[Engine]], limit: int | None) -> list[Engine]:
    """Returns the engines in the order in which they are loaded for a record that is not dropped.

    Args:
        users: for each stage the engines of its steps, in the order in which they are taken.
    """
    held: list[Engine] = []
    loads: list[Engine] = []
    flat = [engine for stage in users for engine in stage if engine.backend.local]
    for number, engine in enumerate(flat):
        if engine not in held:
            for leaving in make_room(held, engine, flat[number + 1 :], lambda others: fits(others, limit)):
                held.remove(leaving)
            held.append(engine)
            loads.append(engine)
    return loads
