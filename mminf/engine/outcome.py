"""What a step may return, and the result of a record in a stage."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from mminf.errors import RecordError
from mminf.recipe.model import StepLike
from mminf.record import Fields, Json, Record
from mminf.states import RecordStatus
from mminf.step.base import Drop, Outcome

_PLAIN = frozenset({str, int, float, bool, type(None)})  # JSON without a closer look


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


def check_outcome(step: StepLike, outcome: object) -> Outcome:
    """Returns what a step returned, if the step declares it: later steps wait for declared fields only.

    Raises:
        RecordError: saying what is wrong with it.
    """
    if is_fields(outcome):
        # Most outcomes: a few plain values.
        if all(type(value) in _PLAIN for value in outcome.values()) and outcome.keys() <= step.writes:
            return outcome
        _check_items(step, [outcome])
        return outcome
    if isinstance(outcome, Drop):
        _check_items(step, [outcome.fields or {}])
        return outcome
    if not isinstance(outcome, list | tuple) or not all(isinstance(item, Mapping) for item in outcome):
        raise RecordError(
            f"step {step.name!r} returned {type(outcome).__name__}, not fields, a Drop or a list of fields"
        )
    if not step.gate:
        raise RecordError(f"step {step.name!r} made children, but its class does not say `gate = True`")
    _check_items(step, outcome)
    return outcome


def is_fields(outcome: object) -> TypeGuard[Mapping[str, Json]]:
    """Returns whether an outcome is new fields of the record."""
    return isinstance(outcome, Mapping)


def _check_items(step: StepLike, items: Sequence[Mapping[str, Json]]) -> None:
    for item in items:
        if undeclared := sorted(set(item) - step.writes):
            raise RecordError(
                f"step {step.name!r} wrote {', '.join(undeclared)}, which it does not declare in `writes`"
            )
    try:
        json.dumps(items)
    except (TypeError, ValueError) as error:
        raise RecordError(f"step {step.name!r} wrote a value that is not JSON: {error}") from error
