"""The history of a record: its outcomes with their fields, and its calls; long texts in pieces."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TypedDict

from mminf.errors import JournalError, UsageError
from mminf.history import sort_calls
from mminf.journal import CallHistory, Journal, Row
from mminf.record import Json
from mminf.sharding.scan import Scanned, scan_record
from mminf.view.text import FOLDED, PIECE, Piece, Place, begin, safe

OUTCOMES, FIELDS, CALLS = 50, 300, 50
"""Maximum numbers of outcomes of a record, of fields of an outcome, and of calls, that are sent at a time."""


class FieldView(TypedDict):
    """A field of an outcome."""

    name: str
    value: Piece


class OutcomeView(TypedDict):
    """An outcome. `broken` says why it can't be read; `more` is the number of fields that are left out."""

    id: str
    stage: int
    state: str
    step: str | None
    reason: str | None
    images: int
    fields: list[FieldView]
    more: int
    broken: str | None


class TurnView(TypedDict):
    """A turn of a prompt. An image is written as `<image URI>`."""

    role: str
    text: Piece


class CallView(TypedDict):
    """A call of a model."""

    record: str
    step: str
    run: int
    attempt: int
    sample: int
    answer: Piece
    reasoning: Piece | None
    prompt: list[TurnView]
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    seconds: float


class OutcomesView(TypedDict):
    """Outcomes of a record and its children. `problems` says what can't be read."""

    outcomes: list[OutcomeView]
    more: bool
    problems: list[str]


class CallsView(TypedDict):
    """Calls of a record and its children."""

    calls: list[CallView]
    total: int
    problems: list[str]


def view_outcomes(journals: Sequence[Journal], record: str, skip: int = 0) -> OutcomesView:
    """Returns the outcomes of a record and its children: those of the record first.

    Args:
        skip: number of outcomes that were sent before.
    """
    problems: list[str] = []
    chosen = list(itertools.islice(_outcomes(journals, record, problems), skip, skip + OUTCOMES + 1))
    views = [_view(scanned, skip + number) for number, scanned in enumerate(chosen[:OUTCOMES])]
    return OutcomesView(outcomes=views, more=len(chosen) > OUTCOMES, problems=problems)


def _outcomes(journals: Sequence[Journal], record: str, problems: list[str]) -> Iterator[Scanned]:
    """Yields the outcomes of a record, then those of its children."""
    for own in (True, False):
        for journal in journals:
            try:
                found = scan_record(journal, record)
                yield from (scanned for scanned in found if (scanned.id == record) is own)
            except JournalError as error:
                if own:
                    problems.append(safe(str(error)))


def _view(scanned: Scanned, number: int) -> OutcomeView:
    row = scanned.row
    if row is None:
        return OutcomeView(
            id=scanned.id,
            stage=scanned.position.stage,
            state="broken",
            step=None,
            reason=None,
            images=0,
            fields=[],
            more=0,
            broken=safe(scanned.problem or "can't be read"),
        )
    shown = [
        FieldView(name=safe(name), value=begin(value, ["outcome", number, index]))
        for index, (name, value) in enumerate(itertools.islice(row.fields.items(), FIELDS))
    ]
    return OutcomeView(
        id=row.id,
        stage=row.stage,
        state=row.state.value,
        step=row.step,
        reason=None if row.reason is None else safe(row.reason),
        images=len(images_of(row)),
        fields=shown,
        more=len(row.fields) - len(shown),
        broken=None,
    )


def images_of(row: Row) -> list[Json]:
    """Returns the images of a record."""
    images = row.fields.get("images")
    return list(images) if isinstance(images, list) else []


def newest_row(journals: Sequence[Journal], record: str) -> Row:
    """Returns the newest outcome of a record. Raises JournalError if it has none, or it is broken."""
    problems: list[str] = []
    found = [scanned for scanned in _outcomes(journals, record, problems) if scanned.id == record]
    rows = [scanned.row for scanned in found if scanned.row is not None]
    if not rows:
        problems += [scanned.problem or "" for scanned in found]
        raise JournalError(problems[0] if problems else f"the run has no outcome of record {record[:200]!r}")
    return rows[-1]


def read_calls(journals: Sequence[Journal], record: str) -> tuple[list[CallHistory], list[str]]:
    """Returns the calls of a record and its children, in the order of the steps, and what can't be read."""
    found: list[CallHistory] = []
    problems = []
    for journal in journals:
        try:
            found += journal.memo.calls(record)
        except JournalError as error:
            problems.append(safe(str(error)))
    return sort_calls(found, journals[0].meta.stages), problems


def view_calls(calls: Sequence[CallHistory], problems: list[str], skip: int = 0) -> CallsView:
    """Returns some of the calls that `read_calls` returned.

    Args:
        skip: number of calls that were sent before.
    """
    chosen = enumerate(itertools.islice(calls, skip, skip + CALLS), skip)
    return CallsView(calls=[_call(call, number) for number, call in chosen], total=len(calls), problems=problems)


def _call(call: CallHistory, number: int) -> CallView:
    reasoning = call["reasoning"]
    return CallView(
        record=safe(call["record"]),
        step=call["step"],
        run=call["run"],
        attempt=call["attempt"],
        sample=call["sample"],
        answer=begin(call["text"], ["call", number, "answer"], PIECE),
        reasoning=None if reasoning is None else begin(reasoning, ["call", number, "reasoning"], FOLDED),
        prompt=[
            TurnView(role=role, text=begin(_turn(parts), ["call", number, index], FOLDED))
            for index, (role, parts) in enumerate(call["chat"] or [])
        ],
        finish_reason=call["finish_reason"],
        prompt_tokens=call["prompt_tokens"],
        completion_tokens=call["completion_tokens"],
        seconds=call["seconds"],
    )


def _turn(parts: Sequence[str | dict[str, str]]) -> str:
    return "".join(part if isinstance(part, str) else f"<image {part.get('image')}>" for part in parts)


def text_at(journals: Sequence[Journal], record: str, place: Place, calls: Sequence[CallHistory] | None) -> object:
    """Returns the whole value that a place of a history is about.

    Args:
        place: as `begin` sent it.
        calls: the calls of the record; None: they are read.

    Raises:
        UsageError: if there is no such place.
    """
    try:
        kind, number, part = place
        if kind == "outcome":
            return _field_at(journals, record, _index(number), _index(part))
        return _part_of((read_calls(journals, record)[0] if calls is None else calls)[_index(number)], part)
    except (ValueError, IndexError) as error:
        raise UsageError("there is no such text; open the record again") from error


def _index(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError("not an index")
    return value


def _field_at(journals: Sequence[Journal], record: str, number: int, part: int) -> Json:
    for scanned in itertools.islice(_outcomes(journals, record, []), number, number + 1):
        if scanned.row is not None:
            return list(scanned.row.fields.values())[part]
    raise IndexError("no such outcome")


def _part_of(call: CallHistory, part: object) -> str:
    if part == "answer":
        return call["text"]
    if part == "reasoning":
        return call["reasoning"] or ""
    return _turn((call["chat"] or [])[_index(part)][1])
