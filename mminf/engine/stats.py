"""Counters of a run, for whoever shows its progress."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


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
        draining: the user wants the run to end.
        stopped: why it ends by itself before its records do; calls that were begun then are waited for.
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
    stopped: str | None = None

    def stop(self, reason: str | None) -> None:
        """Lets the run end by itself; of several reasons, the first stays."""
        self.stopped = self.stopped or reason

    @property
    def ending(self) -> bool:
        """Whether no new call may begin."""
        return self.draining or self.stopped is not None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def snapshot(self) -> dict[str, Any]:
        """Returns the counters as JSON values."""
        return dataclasses.asdict(self)


def add_stats(ours: RunStats, others: Iterable[Mapping[str, Any]]) -> RunStats:
    """Returns the counters of a run whose parts are worked on in several processes.

    Args:
        ours: of the process that asks; its total is that of the whole run.
        others: snapshots of the others.
    """
    whole = copy.deepcopy(ours)
    for other in others:
        for name in ("read", "resumed", "settled", "failed"):
            setattr(whole, name, getattr(whole, name) + other[name])
        _add(whole.steps, other["steps"], ("name", "reasons"))
        _add(whole.engines, other["engines"], ("name", "model", "backend", "state", "load_seconds"))
        for name, engine in other["engines"].items():
            if engine["state"] != "idle" and whole.engines[name].state == "idle":
                whole.engines[name].state = engine["state"]
    return whole


def _add(counted: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]], keep: tuple[str, ...]) -> None:
    done: set[int] = set()  # engines that share a model share their counters
    for name, item in counted.items():
        if id(item) in done or name not in others:
            continue
        done.add(id(item))
        for key, value in others[name].items():
            if key not in keep:
                setattr(item, key, getattr(item, key) + value)
