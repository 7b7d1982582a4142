"""Counters of a run, for whoever shows its progress."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class StepStats:
    """What a step has done so far. `done` counts records that went on, `passed_by` those its `when` let pass."""

    name: str
    done: int = 0
    dropped: int = 0
    failed: int = 0
    passed_by: int = 0
    repeated: int = 0
    calls: int = 0
    recalled: int = 0
    tokens: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def settled(self) -> int:
        return self.done + self.dropped + self.failed


@dataclass(slots=True)
class EngineStats:
    """What an engine is doing. `state`: idle, loading, ready, failed."""

    name: str
    model: str
    backend: str
    state: str = "idle"
    in_flight: int = 0
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    load_seconds: float = 0.0
    loads: int = 0


@dataclass(slots=True)
class RunStats:
    """What a run has done so far.

    Attributes:
        total: records of the source, None while unknown.
        read: records taken from the source; resumed: those that an earlier run had finished.
        settled: source records that are final, with all their children.
    """

    steps: dict[str, StepStats]
    engines: dict[str, EngineStats]
    total: int | None = None
    read: int = 0
    resumed: int = 0
    settled: int = 0
    failed: int = 0
    started: float = field(default_factory=time.monotonic)
    draining: bool = False
    unfinished: bool = False

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started
