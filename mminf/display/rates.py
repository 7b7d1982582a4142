"""The rates of steps and engines over the last seconds, from snapshots of a run's counters."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from mminf.engine.stats import EngineStats, RunStats

WINDOW = 30.0
"""Seconds over which a rate is measured; at the beginning of a run, the time since it began."""
Pair = tuple[float, float]
_NOTHING = (0.0, 0.0)


class _Snapshot(NamedTuple):
    seconds: float
    steps: Mapping[str, Pair]
    engines: Mapping[str, Pair]


class Rates:
    """The rates of a run, of which snapshots are noted repeatedly."""

    def __init__(self) -> None:
        self._snapshots: deque[_Snapshot] = deque([_Snapshot(0.0, {}, {})])

    def note(self, stats: RunStats) -> None:
        """Takes a snapshot of the counters."""
        now = stats.seconds
        steps = {step.name: (float(step.settled), float(step.tokens)) for step in stats.steps.values()}
        engines = {
            engine.name: (float(engine.prompt_tokens), float(engine.completion_tokens))
            for engine in stats.engines.values()
        }
        self._snapshots.append(_Snapshot(now, steps, engines))
        while len(self._snapshots) > 2 and self._snapshots[1].seconds <= now - WINDOW:
            self._snapshots.popleft()

    def step(self, name: str) -> Pair:
        """Returns the rows and the generated tokens of a step per second."""
        first, last = self._snapshots[0], self._snapshots[-1]
        return _rate(first.steps.get(name, _NOTHING), last.steps.get(name, _NOTHING), last.seconds - first.seconds)

    def engine(self, engine: EngineStats) -> Pair:
        """Returns the prompt tokens and the generated tokens of an engine per second."""
        first, last = self._snapshots[0], self._snapshots[-1]
        name = engine.name
        return _rate(first.engines.get(name, _NOTHING), last.engines.get(name, _NOTHING), last.seconds - first.seconds)


def _rate(first: Pair, last: Pair, seconds: float) -> Pair:
    if seconds <= 0:
        return _NOTHING
    return (last[0] - first[0]) / seconds, (last[1] - first[1]) / seconds
