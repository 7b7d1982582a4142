"""Reads the outcomes in the journals of a run from any position; a broken row does not hide the others."""

from __future__ import annotations

import contextlib
import heapq
import operator
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from mminf.errors import JournalError
from mminf.journal import Journal, Row
from mminf.journal.codec import BELOW, below_path
from mminf.journal.database import Database, Values
from mminf.journal.outcomes import OF_RECORD, of
from mminf.journal.row import row_of
from mminf.sharding.overlay import ShardJournal

WINDOW = 20_000
"""Number of rows that SQL tests at a time, so that a rare outcome does not keep the caller waiting."""
_END = 2**62
"""Position of rows whose own position is broken: after all others."""
_LAST_ROOT = "\U0010ffff"


class Position(NamedTuple):
    """The position of an outcome in a journal: source order, then by stage."""

    seq: int
    path: str
    root: str
    stage: int


class Scanned(NamedTuple):
    """An outcome; or, without a row and a problem, only the position up to which a stage was read.

    Attributes:
        row: None if it is broken.
        problem: what is wrong with it, or with the rest of its stage.
    """

    position: Position
    id: str
    row: Row | None
    problem: str | None = None


class Wanted(NamedTuple):
    """The outcomes that a scan yields.

    Attributes:
        condition: SQL over the columns of an outcome, which begins with `AND`.
        arguments: those of the condition.
        may_match: a quick test of the columns, before they are verified and parsed.
    """

    condition: str = ""
    arguments: Sequence[str] = ()
    may_match: Callable[[Values], bool] = lambda _: True


_Stream = Generator[Scanned, None, None]
_ALL = Wanted()


def scan_outcomes(
    journal: Journal, stages: Iterable[int], *, after: Position | None = None, wanted: Wanted = _ALL
) -> Iterator[Scanned]:
    """Yields the outcomes of stages in the order of their positions, streamed.

    Args:
        after: position after which it starts; None: at the beginning.
    """
    if after is not None and after.seq >= _END:
        return
    with contextlib.ExitStack() as stack:
        streams: list[_Stream] = []
        for stage in stages:
            streams.append(_own(journal, stage, after, wanted))
            if isinstance(journal, ShardJournal):
                streams.append(_kept(journal, stage, after, wanted))
        for stream in streams:
            stack.callback(stream.close)
        yield from heapq.merge(*streams, key=operator.attrgetter("position"))


def _own(journal: Journal, stage: int, after: Position | None, wanted: Wanted) -> _Stream:
    """Yields the rows of a journal, and after each window the position of its end."""
    database = journal.database
    since = journal.meta.since
    try:
        while True:
            start, place = _start(after, stage)
            end = _end_of_window(database, stage, after)
            if end is not None:
                start, place = f"{start} AND (seq, path) <= (?, ?)", (*place, *end[:2])
            where = f"WHERE stage = ? AND run >= ? {wanted.condition} {start} ORDER BY seq, path, root"
            arguments = (stage, since, *wanted.arguments, *place)
            for values in database.stream(database.select("rows", where), *arguments, lenient=True):
                if wanted.may_match(values):
                    yield _scanned(database, values, stage)
            if end is None:
                return
            yield Scanned(end, "", None)
            after = end
    except JournalError as error:
        yield Scanned(Position(_END, "", "", stage), "", None, str(error))


def _end_of_window(database: Database, stage: int, after: Position | None) -> Position | None:
    """Returns the end of the next rows; None if fewer than a window are left, or they can't be read.

    Only the index is read, so that this takes milliseconds.
    """
    beyond, place = ("AND (seq, path) > (?, ?)", after[:2]) if after is not None else ("", ())
    sql = f"SELECT seq, path FROM rows WHERE stage = ? {beyond} ORDER BY seq, path LIMIT 1 OFFSET ?"  # noqa: S608
    try:
        found = database.one(sql, stage, *place, WINDOW - 1)
    except JournalError:
        return None  # the rows before the damage can still be read
    if found is None or not isinstance(found[0], int):
        return None
    seq, path = found
    return Position(seq, path, _LAST_ROOT, stage)


def _kept(journal: ShardJournal, stage: int, after: Position | None, wanted: Wanted) -> _Stream:
    """Yields the rows in the main journal of the records that a shard has kept, and of their descendants."""
    first = 0 if after is None else after.seq
    touched = (
        "SELECT root, path, seq FROM touched WHERE stage = ? AND kept = 1 AND run >= ? AND seq >= ? "
        "ORDER BY seq, path, root"
    )
    main = journal.base.database
    below = main.select("rows", f"WHERE {BELOW} {wanted.condition} ORDER BY path")
    try:
        for root, path, seq in journal.database.stream(touched, stage, journal.meta.since, first):
            for values in main.all(below, *below_path(stage, root, path), *wanted.arguments):
                found = _scanned(main, values, stage)
                position = found.position._replace(seq=seq)
                if after is None or position > after:
                    row = None if found.row is None else replace(found.row, seq=seq)
                    yield found._replace(position=position, row=row)
    except JournalError as error:
        yield Scanned(Position(_END, "", "", stage), "", None, str(error))


def _start(after: Position | None, stage: int) -> tuple[str, tuple[int | str, ...]]:
    """Returns the SQL condition of the rows of a stage after a position, and its arguments."""
    if after is None:
        return "", ()
    compared = ">=" if stage > after.stage else ">"
    return f"AND (seq, path, root) {compared} (?, ?, ?)", (after.seq, after.path, after.root)


def _scanned(database: Database, values: Values, stage: int) -> Scanned:
    _, record, root, seq, path, *_ = values
    whole = isinstance(seq, int) and isinstance(path, str) and isinstance(root, str)
    position = Position(seq, path, root, stage) if whole else Position(_END, "", "", stage)
    try:
        return Scanned(position, str(record), row_of(database.verify("rows", values)))
    except JournalError as error:
        return Scanned(position, str(record), None, str(error))


def scan_record(journal: Journal, record: str) -> Iterator[Scanned]:
    """Yields the outcomes of a record and its children in a journal, of all runs, by stage; streamed."""
    database = journal.database
    where = f"{OF_RECORD} ORDER BY stage, seq, path"
    for values in database.stream(database.select("rows", where), *of(record), lenient=True):
        yield _scanned(database, values, values[0] if isinstance(values[0], int) else 0)
