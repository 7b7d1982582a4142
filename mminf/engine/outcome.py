"""The outcomes of a step, and the result of a record in a stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mminf.record import Fields, Record
from mminf.states import RecordStatus
from mminf.step.base import Outcome


@dataclass(frozen=True, slots=True)
class StepFailure:
    """A step failed a record.

    Attributes:
        lacks_field: the record lacks a field that the step reads.
    """

    reason: str
    lacks_field: bool = False


@dataclass(frozen=True, slots=True)
class Skipped:
    """The step's condition is false for the record."""


SKIPPED = Skipped()
StepOutcome = Outcome | StepFailure | Skipped
"""The result of a step runner: the outcome of the step, or the reason why there is none."""


@dataclass(frozen=True, slots=True)
class Result:
    """The end of a record in a stage.

    Attributes:
        step: position of the step that dropped, failed or expanded it; None: done.
        fields: fields of the record at its end.
        children: records that replace the record; None if it was not expanded.
        waits_for: the first step whose engine is not loaded, if the record is parked.
    """

    state: RecordStatus
    fields: Fields
    step: int | None = None
    reason: str | None = None
    children: Sequence[Record] | None = None
    waits_for: int | None = None
