"""An engine whose calls take simulated time, and an event loop in which this time passes at once.

The loop waits for threads (the journal, images) in real time, and jumps to the next timer otherwise.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import selectors
import textwrap
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from mminf.backend import Backend, EngineConfig, Generation, Request, backend
from mminf.engine import engines, stats, tally
from mminf.journal import writer
from mminf.journal.database import Database

HELPERS = """
import json, os
from mminf.request import Generation

def Cut(text):
    return Generation(text, "length", 1, 4096)
"""
NAME = "simulated"
Reply = Callable[[Request, str, random.Random], str]


class SimulatedConfig(EngineConfig):
    """Settings of simulated engines.

    `reply` is the body of a function of (request, text, rng), for calls without choices, and `share` the share of good
    verdicts and scores. `start` are the seconds of a call without tokens, `token` those of a token, and `slower` those
    of a token for each call in flight. `spread` is that of the logarithms of lengths and durations.
    """

    model: str = "simulated"
    reply: str = "return 'A text.'"
    share: float = 0.8
    start: float = 0.2
    token: float = 0.02
    slower: float = 0.0
    spread: float = 0.4
    length: float = 120.0


@backend(NAME)
class Simulated(Backend):
    """A model whose lengths, durations and verdicts are random, by the seeds of its calls."""

    Config: ClassVar[type[EngineConfig]] = SimulatedConfig
    constrains = True
    local = True

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        space: dict[str, Any] = {}
        body = textwrap.indent(textwrap.dedent(config.reply), "    ")
        exec(f"{HELPERS}\ndef reply(request, text, rng):\n{body}", space)
        self.reply: Reply = space["reply"]
        self.in_flight = 0

    def gpus(self) -> int:
        return 1

    async def generate(self, request: Request) -> Generation:
        config = self.config
        text = "\n".join(turn.text for turn in request.turns)
        key = repr((text, request.seed, [image.digest for image in request.images]))
        rng = random.Random(hashlib.sha256(key.encode()).digest())
        said = self.choose(request, rng) if request.sampling.choices else self.reply(request, text, rng)
        # Prompts of one step end with the same words, and have answers of similar lengths.
        kind = random.Random(text[-12:]).lognormvariate(0, 0.7)
        length = config.length * kind * rng.lognormvariate(0, config.spread)
        tokens = 4 if request.sampling.choices else max(1, round(length))
        slow = rng.lognormvariate(0, config.spread / 2)
        self.in_flight += 1
        try:
            await asyncio.sleep(slow * config.start)
            await self.decode(tokens, slow)
        finally:
            self.in_flight -= 1
        return Generation(said, "stop", 40 + len(text) // 4 + 300 * len(request.images), tokens)

    def choose(self, request: Request, rng: random.Random) -> str:
        """Returns a choice: the last one of a scale and the first of two answers are the good ones."""
        choices = list(request.sampling.choices or ())
        if rng.random() < self.config.share:
            return choices[0] if len(choices) == 2 else choices[-1]
        return choices[1] if len(choices) == 2 else rng.choice(choices)

    async def decode(self, tokens: float, slow: float) -> None:
        """Waits for tokens; their speed depends on the number of calls in flight."""
        while tokens > 1e-9 and self.config.token:
            each = slow * (self.config.token + self.config.slower * self.in_flight)
            step = min(0.5, tokens * each) if self.config.slower else tokens * each
            await asyncio.sleep(step)
            tokens -= step / each


class Clock:
    """Simulated time, which begins at the real one."""

    def __init__(self) -> None:
        self.now = time.monotonic()
        self.waiting = 0

    def monotonic(self) -> float:
        return self.now


class _Selector(selectors.DefaultSelector):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or self.clock.waiting:
            return super().select(timeout if timeout is None or timeout <= 0 else 1.0)
        found = super().select(0)
        if not found and timeout > 0:
            self.clock.now += timeout
        return found


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers fire at once."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        super().__init__(_Selector(clock))

    def time(self) -> float:
        return self.clock.now

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        self.clock.waiting += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(lambda _: self._done())
        return future

    def _done(self) -> None:
        self.clock.waiting -= 1


def simulate(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Lets runs use simulated time."""
    clock = Clock()
    commit = Database.commit

    async def waiting(self: Database, statements: Any = ()) -> None:
        clock.waiting += 1
        try:
            await commit(self, statements)
        finally:
            clock.waiting -= 1

    monkeypatch.setattr(Database, "commit", waiting)
    monkeypatch.setattr(writer, "GATHER", 0.0)
    monkeypatch.setattr(asyncio, "new_event_loop", lambda: SimulatedLoop(clock))
    for module in (engines, stats, tally):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock
