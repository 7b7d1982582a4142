"""Counters of a run, for the display of its progress."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mminf.cost.eta import Expected, Progress
from mminf.cost.figures import Figures
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
    """The state and the counters of an engine.

    Attributes:
        call_seconds: sum of the seconds that calls have been in flight.
        busy_seconds: seconds in which at least one call was in flight.
        changed: when the number of calls in flight last changed.
    """

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
    call_seconds: float = 0.0
    busy_seconds: float = 0.0
    changed: float = 0.0

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
        self._advance()
        self.in_flight += 1

    def end_call(self) -> None:
        """Counts a call that is no longer in flight."""
        self._advance()
        self.in_flight -= 1

    def _advance(self) -> None:
        now = time.monotonic()
        if self.in_flight:
            self.call_seconds += self.in_flight * (now - self.changed)
            self.busy_seconds += now - self.changed
        self.changed = now

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
        barrier: the first step over all records, if models are called from there on: the time left does not include it.
        read: records taken from the source; resumed: those that an earlier run had finished.
        settled: source records that are final, with all their children.
        draining: the user wants the run to end.
        unfinished: some records are not processed.
        stopped: why the run stops before all records are processed; calls in flight are waited for.
        worked: seconds of all calls of records that this run has made; `work_began` is the start of the first one.
        answered: the same, calls from the journal included.
        final: the same, only of records that are final; `measured` is the number of these records.
        set_aside: the same, only of records that were parked.
        expected: figures of a probe of the same run; None if there was none.
        figures: figures of all records, if this run is a probe.
        notes: results of all steps (`tally.StepNote`), if this run is a preview.
    """

    steps: dict[str, StepStats]
    engines: dict[str, EngineStats]
    total: int | None = None
    barrier: str | None = None
    read: int = 0
    resumed: int = 0
    settled: int = 0
    failed: int = 0
    started: float = field(default_factory=time.monotonic)
    draining: bool = False
    unfinished: bool = False
    stopped: str | None = None
    worked: float = 0.0
    work_began: float | None = None
    answered: float = 0.0
    final: float = 0.0
    set_aside: float = 0.0
    measured: int = 0
    expected: Expected | None = None
    figures: Figures | None = None
    notes: list[Any] | None = None

    def begin(self, total: int | None, barrier: str | None = None) -> None:
        """Sets the number of records of the source, and the step that estimates reach up to."""
        self.total, self.barrier = total, barrier

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

    def expect(self, expected: Expected | None) -> None:
        """Sets the figures of a probe of the same run."""
        self.expected = expected

    def keep_figures(self, figures: Figures, *, notes: bool = False) -> None:
        """Makes this run a probe: every record is processed, and its figures are kept.

        Args:
            notes: keep the results of all steps as well.
        """
        self.figures = figures
        self.notes = [] if notes else None

    def count_answered(self, answer: Generation) -> None:
        """Counts a call of a record that is being processed."""
        self.answered += answer.seconds
        if answer.in_flight:  # not from the journal
            self.worked += answer.seconds
            if self.work_began is None:
                self.work_began = time.monotonic() - answer.seconds

    def count_final(self, seconds: float) -> None:
        """Counts the calls of a record that is final."""
        self.final += seconds
        self.measured += 1

    def count_set_aside(self, seconds: float) -> None:
        """Counts the calls of a record that was parked."""
        self.set_aside += seconds

    @property
    def progress(self) -> Progress:
        """The part of the run that is done, in seconds of calls."""
        began = self.started if self.work_began is None else self.work_began
        return Progress(
            total=self.total,
            settled=self.settled,
            resumed=self.resumed,
            measured=self.measured,
            worked=self.worked,
            answered=self.answered,
            final=self.final,
            set_aside=self.set_aside,
            elapsed=time.monotonic() - began,
        )

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


_RUN = ("read", "resumed", "settled", "failed", "worked", "answered", "final", "set_aside", "measured")
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
