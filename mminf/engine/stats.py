"""Counters of a run, for the display of its progress."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mminf.request import Generation
from mminf.states import EngineState, RecordStatus

S = TypeVar("S", "StepStats", "EngineStats")


@dataclass(slots=True)
class StepStats:
    """The counters of a step.

    Attributes:
        done: records that passed the step.
        skipped: records for which its `when` is false.
        cache_hits: calls that the journal had an answer for.
        tokens: number of tokens in answers.
    """

    name: str
    done: int = 0
    dropped: int = 0
    failed: int = 0
    skipped: int = 0
    retries: int = 0
    calls: int = 0
    cache_hits: int = 0
    tokens: int = 0

    @property
    def settled(self) -> int:
        """Records that the step has an outcome for."""
        return self.done + self.dropped + self.failed

    def count(self, state: RecordStatus, number: int = 1) -> None:
        """Counts records by their outcome at the step."""
        if state is RecordStatus.FAILED:
            self.failed += number
        elif state is RecordStatus.DROPPED:
            self.dropped += number
        else:
            self.done += number

    def count_skipped(self) -> None:
        """Counts a record for which the step's condition is false."""
        self.skipped += 1

    def count_retry(self) -> None:
        """Counts a retry."""
        self.retries += 1

    def count_hit(self) -> None:
        """Counts a call that the journal had an answer for."""
        self.cache_hits += 1

    def count_call(self, answer: Generation) -> None:
        """Counts a call that was answered."""
        self.calls += 1
        self.tokens += answer.completion_tokens


@dataclass(slots=True)
class EngineStats:
    """The state and the counters of an engine."""

    name: str
    model: str
    backend: str
    state: EngineState = EngineState.IDLE
    in_flight: int = 0
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    load_seconds: float = 0.0
    loads: int = 0

    def enter(self, state: EngineState) -> None:
        """Sets the state."""
        self.state = state

    def count_load(self, seconds: float) -> None:
        """Counts a load; the engine is ready."""
        self.load_seconds = seconds
        self.state = EngineState.READY
        self.loads += 1

    def begin_call(self) -> None:
        """Counts a call in flight."""
        self.in_flight += 1

    def end_call(self) -> None:
        """Counts a call that is no longer in flight."""
        self.in_flight -= 1

    def count_call(self, answer: Generation) -> None:
        """Counts a call that was answered."""
        self.calls += 1
        self.prompt_tokens += answer.prompt_tokens
        self.completion_tokens += answer.completion_tokens


@dataclass(slots=True)
class RunStats:
    """The counters of a run.

    Attributes:
        total: records of the source, None while unknown.
        read: records taken from the source; resumed: those that an earlier run had finished.
        settled: source records that are final, with all their children.
        draining: the user wants the run to end.
        unfinished: some records are not processed.
        stopped: why the run stops before all records are processed; calls in flight are waited for.
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

    def begin(self, total: int | None) -> None:
        """Sets the number of records of the source."""
        self.total = total

    def count_read(self) -> int:
        """Counts a record that was taken from the source. Returns how many were."""
        self.read += 1
        return self.read

    def count_settled(self, *, resumed: bool = False) -> None:
        """Counts a source record that is final."""
        self.settled += 1
        self.resumed += resumed

    def count_failed(self, number: int = 1) -> None:
        """Counts records that failed."""
        self.failed += number

    def drain(self) -> None:
        """Notes that the user wants the run to end."""
        self.draining = True

    def stop(self, reason: str | None) -> None:
        """Stops the run for a reason; if there are several, the first one is kept."""
        self.stopped = self.stopped or reason

    def begin_shard(self) -> None:
        """Forgets why an earlier shard of this process ended early: each shard has its own share of the budget."""
        self.stopped = None
        self.unfinished = False

    def leave_unfinished(self) -> None:
        """Notes that some records are not processed."""
        self.unfinished = True

    @property
    def ending(self) -> bool:
        """Whether no new call may begin."""
        return self.draining or self.stopped is not None

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.started

    def snapshot(self) -> dict[str, Any]:
        """Returns the counters as JSON values."""
        return dataclasses.asdict(self)


_RUN = ("read", "resumed", "settled", "failed")
_STEP = ("done", "dropped", "failed", "skipped", "retries", "calls", "cache_hits", "tokens")
_ENGINE = ("in_flight", "calls", "prompt_tokens", "completion_tokens", "loads")


def add_stats(ours: RunStats, others: Iterable[Mapping[str, Any]]) -> RunStats:
    """Returns the counters of a run that several processes work on.

    Args:
        ours: counters of this process; its total is that of the whole run.
        others: snapshots of the other processes.
    """
    whole = ours
    for other in others:
        whole = dataclasses.replace(
            whole,
            **_sums(whole, other, _RUN),
            steps={name: _add(step, other["steps"].get(name), _STEP) for name, step in whole.steps.items()},
            engines=_add_engines(whole.engines, other["engines"]),
        )
    return whole


def _add_engines(engines: Mapping[str, EngineStats], other: Mapping[str, Any]) -> dict[str, EngineStats]:
    added: dict[int, EngineStats] = {}  # engines that share a model share their counters
    for name, engine in engines.items():
        if id(engine) not in added:
            found = other.get(name)
            whole = _add(engine, found, _ENGINE)
            if found is not None and engine.state is EngineState.IDLE:
                whole = dataclasses.replace(whole, state=EngineState(found["state"]))
            added[id(engine)] = whole
    return {name: added[id(engine)] for name, engine in engines.items()}


def _add(counted: S, other: Mapping[str, Any] | None, names: tuple[str, ...]) -> S:
    return counted if other is None else dataclasses.replace(counted, **_sums(counted, other, names))


def _sums(counted: object, other: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(counted, name) + other[name] for name in names}
