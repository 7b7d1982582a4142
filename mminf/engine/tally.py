"""Counts the calls of the record that is being processed, for estimates of the cost of a run."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import NamedTuple

from mminf.cost.figures import CallFigures
from mminf.engine.outcome import StepOutcome
from mminf.recipe.model import StepLike
from mminf.record import Record
from mminf.request import Generation


class StepNote(NamedTuple):
    """The result of a step for a record or one of its children."""

    record: Record
    step: str
    outcome: StepOutcome


class Tally:
    """The calls of one record and its children in one stage.

    Args:
        notes: list for the results of the steps, for a preview; None: they are not kept.

    Attributes:
        calls: answered calls, those from the journal included.
        seconds: sum of their durations.
    """

    __slots__ = ("_recalled", "_started", "calls", "notes", "seconds")

    def __init__(self, notes: list[StepNote] | None = None) -> None:
        self.calls: list[CallFigures] = []
        self.seconds = 0.0
        self.notes = notes
        self._started = time.monotonic()
        self._recalled: dict[tuple[str, int], float] = {}

    @property
    def elapsed(self) -> float:
        """Seconds since the record was started, and those that its answers from the journal took before."""
        return time.monotonic() - self._started + sum(self._recalled.values())

    def count(self, call: CallFigures, attempt: int, *, recalled: bool) -> None:
        """Adds an answer. The calls of one attempt of a step run at the same time: the longest one counts."""
        self.calls.append(call)
        self.seconds += call.seconds
        if recalled:
            made = call.step, attempt
            self._recalled[made] = max(self._recalled.get(made, 0.0), call.seconds + call.waited)


_current: ContextVar[Tally | None] = ContextVar("tally", default=None)


def begin_tally(notes: list[StepNote] | None = None) -> Tally:
    """Returns the tally of a record that this task begins to process; tasks that it starts use the same tally."""
    tally = Tally(notes)
    _current.set(tally)
    return tally


def count_answer(step: StepLike, answer: Generation, attempt: int, *, recalled: bool) -> bool:
    """Adds an answer to the tally of the record that is being processed. Returns whether there is such a record.

    Args:
        recalled: it is from the journal.
    """
    if (tally := _current.get()) is None:
        return False
    call = CallFigures(
        step.name,
        step.engine or "",
        answer.prompt_tokens,
        answer.completion_tokens,
        answer.seconds,
        answer.in_flight,
        attempt > 0,
        answer.waited,
    )
    tally.count(call, attempt, recalled=recalled)
    return True


def note_outcome(record: Record, step: StepLike, outcome: StepOutcome) -> None:
    """Keeps the result of a step, if the run is a preview."""
    tally = _current.get()
    if tally is not None and tally.notes is not None:
        tally.notes.append(StepNote(record, step.name, outcome))
