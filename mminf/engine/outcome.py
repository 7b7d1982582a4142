"""What a step may return, and the result of a record in a stage."""

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
        lacks_field: the record has not all fields that the step reads.
    """

    reason: str
    lacks_field: bool = False


@dataclass(frozen=True, slots=True)
class Skipped:
    """The step's condition is false for the record."""


SKIPPED = Skipped()
StepOutcome = Outcome | StepFailure | Skipped
"""What a step runner returns: what the step returned, or why it has nothing to return."""


@dataclass(frozen=True, slots=True)
class Result:
    """The end of a record in a stage.

    Attributes:
        step: position of the step that dropped, failed or expanded it; None: done.
        fields: of the record at its end.
        children: that replace the record; None: it was not expanded.
        waits_for: of a parked record: the first step whose engine is not loaded.
    """

    state: RecordStatus
    fields: Fields
    step: int | None = None
    reason: str | None = None
    children: Sequence[Record] | None = None
    waits_for: int | None = None
