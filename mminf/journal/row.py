"""Typed values for the rows of a journal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict

from mminf.errors import JournalError
from mminf.journal.codec import path_numbers
from mminf.record import Fields, Json, Record
from mminf.request import Generation
from mminf.states import RecordStatus

Place = tuple[int, tuple[int, ...]]
"""The position of a record: the position of its source record, and its path below that record."""


class StepProgress(TypedDict, total=False):
    """The progress of a parked record, as JSON values.

    Attributes:
        written: fields that steps have written, by the steps' positions.
        ended: where the record ends, if a step has ended it.
        end: the status of a record that is final.
    """

    written: dict[str, Fields]
    ended: list[Json]
    end: str


Tree = dict[str, StepProgress]
"""The progress of a parked record and its children, by path."""


@dataclass(slots=True)
class Row:
    """The outcome of a record in a stage; see `schema.TABLES`."""

    stage: int
    id: str
    root: str
    seq: int
    path: tuple[int, ...]
    state: RecordStatus
    step: str | None
    reason: str | None
    fields: Fields
    key: str | None

    def record(self) -> Record:
        """Returns the record as it left the stage."""
        return Record(self.id, self.fields, self.seq, self.path, self.root)


class Waiting(NamedTuple):
    """A record that enters a stage, or continues in it.

    Attributes:
        record: the record as it entered the stage.
        tree: progress of the record and its children; empty if it has not started.
        key: key of the record's outcome; None if it is not computed yet.
    """

    record: Record
    tree: Tree
    key: str | None


class Call(NamedTuple):
    """A model call that was answered. `seconds` is its duration, and `chat` is the request's chat as JSON."""

    key: bytes
    step: str
    record: str
    attempt: int
    sample: int
    generation: Generation
    seconds: float
    chat: bytes


class Totals(NamedTuple):
    """Totals of the calls of a step. `seconds` is the sum of their durations."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float

    def plus(self, other: Totals) -> Totals:
        """Returns the sums."""
        return Totals(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.seconds + other.seconds,
        )


class FailedRecord(NamedTuple):
    """A record that failed, with its step and reason."""

    id: str
    step: str | None
    reason: str | None


class ReasonCount(NamedTuple):
    """The number of records that a step dropped or failed for a reason."""

    step: str | None
    state: RecordStatus
    reason: str | None
    number: int


class OutcomeCount(NamedTuple):
    """The number of records of a stage that had the same outcome at the same step."""

    stage: int
    state: RecordStatus
    step: str | None
    number: int


Chat = list[tuple[str, list[str | dict[str, str]]]]
"""Role and parts of each turn; an image is `{"image": URI}`."""


class Prompt(TypedDict):
    """A step's prompt as it was sent to the model, and its number of tokens; None if unknown."""

    step: str
    sent: str | None
    tokens: int | None


class CallHistory(TypedDict):
    """A model call, as `mminf show` prints it. `chat` is a list of [role, parts]."""

    step: str
    record: str
    attempt: int
    sample: int
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    run: int
    reasoning: str | None
    chat: Chat | None


LISTED = ("stage", "id", "root", "seq", "path", "state", "step", "reason")
"""Columns of `listed_row`."""


def listed_row(values: tuple[Any, ...]) -> Row:
    """Returns the row of values in the order of `LISTED`, without its fields and its key. Raises JournalError."""
    stage, record, root, seq, path, *end = values
    if not all(isinstance(text, str) for text in (record, root, *(text for text in end if text is not None))):
        raise _damaged(record, "it is not a text")
    return row_of((stage, record, root, seq, path, None, None, *end, "{}"))


def reason_count(values: tuple[Any, ...]) -> ReasonCount:
    """Returns the count of step, state, reason and number. Raises JournalError if they are damaged."""
    step, state, reason, number = values
    if not all(isinstance(text, str | None) for text in (step, reason)):
        raise _damaged(step, "it is not a text")
    return ReasonCount(step, RecordStatus(state), reason, number)


def _damaged(record: object, why: object) -> JournalError:
    return JournalError(
        f"the journal is damaged: an outcome of record {record!r:.80} can't be read: {why}; `mminf repair` "
        "saves what can be read"
    )


def row_of(values: tuple[Any, ...]) -> Row:
    """Returns the row of values in the order of `schema.COLUMNS`. Raises JournalError if they are damaged."""
    try:
        stage, record, root, seq, path, _, key, state, step, reason, fields = values
        found = Row(
            stage, record, root, seq, path_numbers(path), RecordStatus(state), step, reason, json.loads(fields), key
        )
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(values[1], error) from error
    if not isinstance(found.fields, dict):
        raise JournalError(f"the journal is damaged: the fields of record {values[1]!r:.80} are not an object")
    return found
