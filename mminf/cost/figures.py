"""Figures of records that were run: their calls, tokens and seconds, and how many of them passed each stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class CallFigures(NamedTuple):
    """One answered call.

    Attributes:
        seconds: its duration, without the wait for a free slot.
        in_flight: mean number of calls that its engine had in flight meanwhile; 0 if unknown.
        retry: whether it was a later attempt.
        waited: seconds that it waited for a free slot.
    """

    step: str
    engine: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    in_flight: float
    retry: bool = False
    waited: float = 0.0


@dataclass(slots=True)
class Cost:
    """Sums over calls. `seconds` is the sum of their durations."""

    calls: float = 0
    prompt_tokens: float = 0
    completion_tokens: float = 0
    seconds: float = 0

    def add(self, other: Cost, factor: float = 1) -> None:
        """Adds the sums of other calls, multiplied by a factor."""
        self.calls += factor * other.calls
        self.prompt_tokens += factor * other.prompt_tokens
        self.completion_tokens += factor * other.completion_tokens
        self.seconds += factor * other.seconds

    def count(self, call: CallFigures) -> None:
        """Adds a call."""
        self.calls += 1
        self.prompt_tokens += call.prompt_tokens
        self.completion_tokens += call.completion_tokens
        self.seconds += call.seconds


@dataclass(slots=True)
class StageFigures:
    """The figures of one record of the source, with all its children, in one stage.

    Attributes:
        inputs: records that entered the stage.
        outputs: records that passed it.
        seconds: sum of the durations of the inputs, from their start to their end, without waiting for slots.
        by_engine: sums over the calls of each engine.
    """

    inputs: int = 0
    outputs: int = 0
    seconds: float = 0
    by_engine: dict[str, Cost] = field(default_factory=dict)


class Figures:
    """The figures of the records of a probe.

    Args:
        stages: number of stages.

    Attributes:
        roots: for each stage, the figures by id of the source record.
        calls: all calls.
        failed: ids of the source records that failed, or of which a child failed.
        longest: duration of the slowest record in each stage.
    """

    def __init__(self, stages: int) -> None:
        self.roots: list[dict[str, StageFigures]] = [{} for _ in range(stages)]
        self.calls: list[CallFigures] = []
        self.failed: set[str] = set()
        self.longest = [0.0] * stages

    def at(self, stage: int, root: str) -> StageFigures:
        """Returns the figures of a source record in a stage."""
        return self.roots[stage].setdefault(root, StageFigures())

    def count_record(
        self, stage: int, root: str, calls: Iterable[CallFigures], seconds: float, *, is_new: bool = True
    ) -> None:
        """Counts the work on a record, with its children, in a stage.

        Args:
            seconds: duration of the work.
            is_new: the record has entered the stage; otherwise, it was parked before.
        """
        found = self.at(stage, root)
        found.inputs += is_new
        calls = list(calls)
        # Calls of a record run at the same time, so the sum of their waits is not a part of its duration.
        worked, waited = sum(call.seconds for call in calls), sum(call.waited for call in calls)
        seconds *= worked / (worked + waited) if waited else 1.0
        found.seconds += seconds
        self.longest[stage] = max(self.longest[stage], seconds if is_new else found.seconds)
        for call in calls:
            self.calls.append(call)
            found.by_engine.setdefault(call.engine, Cost()).count(call)

    def count_input(self, stage: int, root: str) -> None:
        """Counts a record that enters a stage without calls."""
        self.at(stage, root).inputs += 1

    def count_done(self, stage: int, root: str) -> None:
        """Counts a record, or a child, that has passed a stage."""
        self.at(stage, root).outputs += 1

    def count_failed(self, root: str) -> None:
        """Counts a source record that failed, or of which a child failed."""
        self.failed.add(root)

    @property
    def records(self) -> int:
        """Number of source records."""
        return len(self.roots[0])

    def accepted(self) -> Counter[str]:
        """Returns the number of records that have passed all stages, by id of the source record."""
        return Counter({root: found.outputs for root, found in self.roots[-1].items() if found.outputs})

    def by_step(self) -> dict[str, Cost]:
        """Returns the sums over the calls of each step."""
        found: dict[str, Cost] = {}
        for call in self.calls:
            found.setdefault(call.step, Cost()).count(call)
        return found

    def retries(self) -> Counter[str]:
        """Returns the number of calls of each step that were later attempts."""
        return Counter(call.step for call in self.calls if call.retry)


def add_costs(parts: Iterable[Mapping[str, Cost]]) -> dict[str, Cost]:
    """Returns the sums of several parts, by name."""
    found: dict[str, Cost] = {}
    for part in parts:
        for name, cost in part.items():
            found.setdefault(name, Cost()).add(cost)
    return found
