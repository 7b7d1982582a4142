"""Searches the records of a run, page by page: streamed, from a position, and for a limited time."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TypedDict

from mminf.journal import Journal, Place, Row
from mminf.journal.database import Values
from mminf.journal.schema import COLUMNS
from mminf.marks import Mark
from mminf.record import Fields, Json
from mminf.sharding.journals import has_later_outcome
from mminf.sharding.overlay import ShardJournal
from mminf.sharding.scan import Scanned, Wanted, scan_outcomes
from mminf.states import RecordStatus, RunState
from mminf.view.query import WAITING, Cursor, Query, Range
from mminf.view.text import safe

SECONDS = 1.0
"""A search returns after this time, and continues with the next request."""
_TEXTS = [COLUMNS["rows"].index(name) for name in ("fields", "id", "reason")]
_EXCERPT, _BEFORE = 240, 60
_EXCERPTS = 2
"""Number of fields that a record in the list shows."""


class Item(TypedDict):
    """A record in the list. `broken` says why it can't be read."""

    id: str
    stage: int
    state: str
    step: str | None
    reason: str | None
    images: int
    scores: dict[str, float]
    excerpts: list[tuple[str, str]]
    mark: str | None
    note: str
    broken: str | None


class Page(TypedDict):
    """Some of the records that were found.

    Attributes:
        next: where the search continues; None at its end.
        at: number of the source record up to which was searched.
    """

    records: list[Item]
    next: str | None
    at: int


class Search:
    """Reads the outcomes of a run for one page.

    Args:
        journals: journal of the run, and those of its shards that are not merged yet.
        query: the records that are wanted.
        scores: the fields that are shown as scores.
        marks: marks by id.
        last: position of the last record that counts; None: all.
    """

    def __init__(
        self,
        journals: Sequence[Journal],
        query: Query,
        *,
        scores: Sequence[str] = (),
        marks: Mapping[str, Mark] | None = None,
        last: Place | None = None,
    ) -> None:
        self._journals = sorted(journals, key=_name)
        self._state = journals[0].meta.state
        self._stages = len(journals[0].meta.stages)
        self._query = query
        self._needle = query.text.casefold()
        # Other characters have another form in JSON.
        self._is_plain = bool(self._needle) and self._needle.isprintable() and not {*'"\\'} & {*self._needle}
        self._scores = scores
        self._marks = marks or {}
        self._last = last

    def page(self, after: str | None, limit: int, seconds: float = SECONDS) -> Page:
        """Returns the next records.

        Args:
            after: `next` of the page before.
            limit: maximum number of records.
            seconds: it returns after this time, with the records found so far.
        """
        until = time.monotonic() + seconds
        found: list[Item] = []
        at = 0
        for cursor, scanned in self._read(None if after is None else Cursor.parse(after)):
            if scanned.problem is None:  # a broken row may have no position
                at = scanned.position.seq
            if (item := self._item(scanned)) is not None:
                found.append(item)
            if len(found) >= limit or time.monotonic() > until:
                return Page(records=found, next=cursor.text(), at=at)
        return Page(records=found, next=None, at=at)

    def _read(self, after: Cursor | None) -> Iterator[tuple[Cursor, Scanned]]:
        stages = range(-1, max(1, self._stages))
        wanted = self._wanted()
        for journal in self._journals:
            name = _name(journal)
            if after is not None and name < after.journal:
                continue
            start = after.position if after is not None and name == after.journal else None
            for scanned in scan_outcomes(journal, stages, after=start, wanted=wanted):
                yield Cursor(name, scanned.position), scanned

    def _wanted(self) -> Wanted:
        """Returns the conditions that are tested before rows are parsed. A broken state passes, unless one is asked."""
        query, last = self._query, self._stages - 1
        # A shard that has finished has done so in one stage only.
        in_shards = any(isinstance(journal, ShardJournal) for journal in self._journals)
        finished = self._state in (RunState.FINISHED, RunState.WRITING) and not in_shards
        condition, arguments = "AND state != 'expanded'", []
        if query.state:
            condition, arguments = "AND state = ?", [RecordStatus.DONE if query.state == WAITING else query.state]
        if query.state == WAITING:
            condition += f" AND stage < {last}"
        elif query.state == RecordStatus.DONE or finished:
            condition += f" AND (state != 'done' OR stage >= {last})"
        if query.step:
            condition, arguments = f"{condition} AND step = ?", [*arguments, query.step]
        if query.mark not in ("", "none"):
            marked = [record for record, mark in self._marks.items() if _has_mark(mark, query.mark)]
            condition += " AND id IN (SELECT value FROM json_each(?))"
            arguments = [*arguments, json.dumps(marked)]
        return Wanted(condition, arguments, self._may_match)

    def _may_match(self, values: Values) -> bool:
        """Returns whether a row may have the text; faster than parsing it."""
        return not self._is_plain or any(self._needle in str(values[column]).casefold() for column in _TEXTS)

    def _item(self, scanned: Scanned) -> Item | None:
        """Returns a record as the list shows it; None if it is not wanted."""
        mark = self._marks.get(scanned.id)
        if not _has_mark(mark, self._query.mark):
            return None
        if (row := scanned.row) is None:
            # The values of a broken row are not known, so that no condition on them can be tested.
            asked = self._query.text or self._query.ranges
            return None if scanned.problem is None or asked else _broken(scanned, mark)
        waits = row.state is RecordStatus.DONE and row.stage < self._stages - 1
        if not self._is_wanted(row, waits=waits):
            return None
        excerpts = _find(row, self._needle, self._query.text) if self._needle else _shown(row.fields)
        if excerpts is None:
            return None
        images = row.fields.get("images")
        return Item(
            id=row.id,
            stage=row.stage,
            state=WAITING if waits else row.state.value,
            step=row.step,
            reason=None if row.reason is None else safe(row.reason),
            images=len(images) if isinstance(images, list) else 0,
            scores=_numbers(row.fields, self._scores),
            excerpts=excerpts,
            mark=mark.mark if mark else None,
            note=mark.note if mark else "",
            broken=None,
        )

    def _is_wanted(self, row: Row, *, waits: bool) -> bool:
        """Returns whether an outcome is the last one of a record that counts, with scores in the wanted ranges."""
        if self._last is not None and (row.seq, row.path) > self._last:
            return False
        if waits and has_later_outcome(self._journals, row):
            return False
        return all(_is_in(row.fields.get(wanted.field), wanted) for wanted in self._query.ranges)


def _broken(scanned: Scanned, mark: Mark | None) -> Item:
    return Item(
        id=scanned.id,
        stage=scanned.position.stage,
        state="broken",
        step=None,
        reason=None,
        images=0,
        scores={},
        excerpts=[],
        mark=mark.mark if mark else None,
        note=mark.note if mark else "",
        broken=safe(scanned.problem or "can't be read"),
    )


def _name(journal: Journal) -> str:
    return journal.shard.name if isinstance(journal, ShardJournal) else ""


def _has_mark(mark: Mark | None, wanted: str) -> bool:
    if wanted == "none":
        return mark is None
    if wanted == "any":
        return mark is not None
    if wanted == "note":
        return mark is not None and bool(mark.note)
    return not wanted or (mark is not None and mark.mark == wanted)


def _number(value: Json) -> float | None:
    """Returns a value that is a finite number, or None."""
    if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > sys.float_info.max:
        return None
    return None if math.isnan(value) else float(value)


def _numbers(fields: Fields, names: Sequence[str]) -> dict[str, float]:
    found = {name: _number(fields.get(name)) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def _is_in(value: Json, wanted: Range) -> bool:
    number = _number(value)
    return number is not None and wanted.low <= number <= wanted.high


def _shown(fields: Fields) -> list[tuple[str, str]]:
    """Returns the beginning of the texts that were written last; single words only if there are no others."""
    texts = [(name, value) for name, value in fields.items() if isinstance(value, str) and name != "id"]
    longer = [(name, value) for name, value in texts if " " in value[:_EXCERPT] or len(value) > _EXCERPT]
    return [(name, _cut(safe(value))) for name, value in (longer or texts)[-_EXCERPTS:]]


def _find(row: Row, needle: str, text: str) -> list[tuple[str, str]] | None:
    """Returns the texts of a record that contain a text, each around its first place; None if there are none."""
    texts: list[tuple[str, str]] = [("id", row.id), ("reason", row.reason or "")]
    texts += ((name, value) for name, item in row.fields.items() for value in _texts(item))
    found = [(name, value) for name, value in texts if needle in value.casefold()]
    if not found:
        return None
    named = [(name, value) for name, value in found if name not in ("id", "reason")]
    return [(name, _cut(safe(value), text)) for name, value in named[:_EXCERPTS]] or _shown(row.fields)


def _texts(value: Json) -> Iterator[str]:
    """Yields the texts in a value; the depth of a value that JSON has parsed is limited."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif value is not None:
        yield str(value)


def _cut(text: str, around: str = "") -> str:
    """Returns a part of a text that contains another one, if it does; otherwise its beginning."""
    at = text.lower().find(around.lower()) if around else 0
    start = max(0, at - _BEFORE) if len(text) > _EXCERPT else 0
    cut = text[start : start + _EXCERPT]
    return f"{'…' if start else ''}{cut}{'…' if start + _EXCERPT < len(text) else ''}"
