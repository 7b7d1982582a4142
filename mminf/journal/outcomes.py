"""The outcome of every record in every stage."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterable, Iterator, Sequence

import orjson

from mminf.errors import JournalError, shorten_text
from mminf.journal.checksum import RUN_FACTOR, SEQ_FACTOR, SqlValue
from mminf.journal.codec import BELOW, below, clean, path_numbers, path_text
from mminf.journal.database import Database, Values, inserting
from mminf.journal.meta import RunMeta
from mminf.journal.row import (
    LISTED,
    FailedRecord,
    OutcomeCount,
    Place,
    ReasonCount,
    Row,
    listed_row,
    reason_count,
    row_of,
)
from mminf.limits import REASON_CHARACTERS
from mminf.record import Record, to_json
from mminf.redact import redact
from mminf.states import RecordStatus

_AT = "WHERE stage = ? AND root = ? AND path = ?"
_IN_ORDER = "ORDER BY seq, path"
OF_RECORD = "WHERE id = ? OR (id >= ? AND id < ?)"
"""Selects the rows of a record and its children, with the index on ids; its arguments are those that `of` returns."""
KEEP = (
    f"UPDATE rows SET run = ?1, seq = ?2, "  # noqa: S608
    f"checksum = checksum + {RUN_FACTOR} * (?1 - run) + {SEQ_FACTOR} * (?2 - seq) WHERE {BELOW}"
)
"""Arguments: run, seq, and those of `BELOW`."""


class Outcomes:
    """The outcomes that the runs in a journal have written.

    Rows of runs before `meta.since` are not part of the result; the next run may take them over.
    """

    def __init__(self, database: Database, meta: RunMeta) -> None:
        self._database = database
        self._meta = meta
        self._has_rows = database.one("SELECT 1 FROM rows LIMIT 1") is not None

    # For the run

    def is_final(self, stage: int, record: Record, key: str) -> bool:
        """Returns whether the record and all its children are final in this stage, for this key."""
        return self._has_rows and self._key(stage, record) == key

    def _key(self, stage: int, record: Record) -> str | None:
        found: str | None = self._database.value(f"SELECT key FROM rows {_AT}", *place(stage, record))  # noqa: S608
        return found

    async def write(self, rows: Iterable[Row]) -> None:
        """Writes outcomes; returns once they are committed."""
        await self._database.commit([inserting("rows", self._values(row)) for row in rows])

    def _values(self, row: Row) -> Values:
        return (
            row.stage,
            clean(row.id),
            clean(row.root),
            row.seq,
            path_text(row.path),
            self._meta.run,
            row.key,
            row.state.value,
            row.step,
            clean(row.reason and shorten_text(redact(row.reason), REASON_CHARACTERS.value)),
            clean(to_json(row.fields)),
        )

    def keep(self, stage: int, record: Record) -> None:
        """Assigns the rows of a final record, and of its children, to this run."""
        self._database.execute(KEEP, self._meta.run, record.seq, *below(stage, record))

    def forget(self, stage: int, record: Record) -> None:
        """Removes the rows of a record that is computed again; it may have fewer children this time."""
        if self._has_rows:
            self._database.execute(f"DELETE FROM rows WHERE {BELOW}", *below(stage, record))  # noqa: S608

    async def forget_stage(self, stage: int) -> None:
        """Removes the rows that this run has written in a stage: a merge that goes on after a kill is the same run."""
        self._database.execute("DELETE FROM rows WHERE stage = ? AND run = ?", stage, self._meta.run)
        await self._database.commit()

    def written(self, stage: int, records: Sequence[Record]) -> list[bool]:
        """Returns for each record whether this run has written its outcome in a stage."""
        return self._contains("run = ? AND stage = ?", (self._meta.run, stage), records)

    def passed(self, stage: int, records: Sequence[Record]) -> list[bool]:
        """Returns for each record whether it is done in a stage."""
        return self._contains("run >= ? AND stage = ? AND state = 'done'", (self._meta.since, stage), records)

    def _contains(self, condition: str, arguments: tuple[int, int], records: Sequence[Record]) -> list[bool]:
        places = [(record.origin, path_text(record.path)) for record in records]
        given = ", ".join(["(?, ?)"] * len(places))
        sql = (
            f"WITH given (root, path) AS (VALUES {given}) SELECT root, path FROM given CROSS JOIN rows "  # noqa: S608
            f"USING (root, path) WHERE {condition}"
        )
        found = set(self._database.all(sql, *(part for place in places for part in place), *arguments))
        return [place in found for place in places]

    def left_out(self, stage: int) -> Iterator[Row]:
        """Yields the rows that a stage reads, and for which this run has not written an outcome, streamed."""
        where = (
            "WHERE stage = ?1 AND run >= ?3 AND state = 'done' AND NOT EXISTS (SELECT 1 FROM rows b WHERE "  # noqa: S608
            f"b.stage = ?2 AND b.root = rows.root AND b.path = rows.path AND b.run = ?4) {_IN_ORDER}"
        )
        return self.select(where, stage - 1, stage, self._meta.since, self._meta.run)

    def count_done(self, stage: int, record: Record) -> int:
        """Returns the number of records that are done among a final record and its descendants."""
        sql = f"SELECT count(*) FROM rows WHERE {BELOW} AND state = 'done'"  # noqa: S608
        return int(self._database.value(sql, *below(stage, record)))

    def has_done(self, stage: int) -> bool:
        """Returns whether a record has ever been done in a stage."""
        return self._database.one("SELECT 1 FROM rows WHERE stage = ? AND state = 'done' LIMIT 1", stage) is not None

    # The result

    def rows(
        self,
        stage: int,
        *,
        states: Iterable[RecordStatus] = (RecordStatus.DONE,),
        step: str | None = None,
        fields: bool = True,
    ) -> Iterator[Row]:
        """Yields the rows of a stage in source order, streamed; can be used in any thread, and several times at once.

        Args:
            step: only rows with this step; None: all rows.
            fields: False: without the fields, which can be large, and without verifying the checksum.
        """
        wanted = [str(state) for state in states]
        where = f"WHERE stage = ? AND run >= ? AND state IN ({','.join('?' * len(wanted))})"
        arguments: list[SqlValue] = [stage, self._meta.since, *wanted]
        if step is not None:
            where += " AND step = ?"
            arguments.append(step)
        yield from self.select(f"{where} {_IN_ORDER}", *arguments, fields=fields)

    def select(self, where: str, *arguments: SqlValue, fields: bool = True) -> Iterator[Row]:
        """Yields the rows that meet a condition in SQL; see `rows`."""
        if fields:
            for row in self._database.stream(self._database.select("rows", where), *arguments):
                yield row_of(self._database.verify("rows", row))
            return
        for row in self._database.stream(f"SELECT {', '.join(LISTED)} FROM rows {where}", *arguments):  # noqa: S608
            yield listed_row(row)

    def has_outcome(self, stage: int, root: str, path: str) -> bool:
        """Returns whether a record has an outcome in a stage."""
        sql = f"SELECT 1 FROM rows {_AT} AND run >= ?"  # noqa: S608
        return self._database.one(sql, stage, root, path, self._meta.since) is not None

    def reasons(self, last: Place | None = None) -> Iterator[ReasonCount]:
        """Yields the number of dropped and failed records by step and reason, streamed.

        Args:
            last: position in the source of the last record that counts.
        """
        where = "WHERE run >= ? AND state IN ('dropped', 'failed')"
        arguments: list[SqlValue] = [self._meta.since]
        if last is not None:
            where += " AND (seq, path) <= (?, ?)"
            arguments += [last[0], path_text(last[1])]
        sql = f"SELECT step, state, reason, count(*) FROM rows {where} GROUP BY step, state, reason"  # noqa: S608
        for row in self._database.stream(sql, *arguments):
            yield reason_count(row)

    def check(self) -> None:
        """Checks that no row is hidden by a damaged index or a damaged value. Raises JournalError."""
        self._database.check("rows")
        for table in ("rows", "meta"):
            self._database.check_rows(table)

    def digest(self, last: Place | None = None) -> str:
        """Returns a digest of the outcomes of records and their fields.

        Args:
            last: position in the source of the last record that counts.
        """
        found = hashlib.blake2b(digest_size=8)
        sql = f"SELECT stage, seq, path, state, step, fields FROM rows WHERE run >= ? {_IN_ORDER}, stage"  # noqa: S608
        for stage, seq, path, state, step, fields in self._database.stream(sql, self._meta.since):
            if last is not None and (seq, path_numbers(path)) > last:
                break
            found.update(repr((stage, path, state, step)).encode())
            found.update(_sorted(fields))
        return found.hexdigest()

    def find(self, record: str) -> list[Row]:
        """Returns the rows of a record and its children, in all stages."""
        rows = self._database.all(self._database.select("rows", f"{OF_RECORD} ORDER BY stage, seq, path"), *of(record))
        return [row_of(self._database.verify("rows", row)) for row in rows]

    def ids_like(self, part: str, limit: int = 5) -> list[str]:
        """Returns some ids that contain a text."""
        return self._ids("instr(id, ?1) > 0", clean(part), limit)

    def ids_from(self, prefix: str, limit: int) -> list[str]:
        """Returns some ids that begin with a text, in order."""
        return self._ids("id >= ?1 AND id < ?1 || char(1114111)", clean(prefix), limit)

    def _ids(self, condition: str, text: str, limit: int) -> list[str]:
        rows = self._database.all(f"SELECT DISTINCT id FROM rows WHERE {condition} LIMIT ?2", text, limit)  # noqa: S608
        return [str(row[0]) for row in rows]

    def count_waiting(self, stage: int) -> int:
        """Returns how many records are done in a stage, and have no outcome in the next one."""
        sql = (
            "SELECT count(*) FROM rows a WHERE a.stage = ?1 AND a.run >= ?3 AND a.state = 'done' AND NOT EXISTS "
            "(SELECT 1 FROM rows b WHERE b.stage = ?2 AND b.root = a.root AND b.path = a.path AND b.run >= ?3)"
        )
        return int(self._database.value(sql, stage, stage + 1, self._meta.since))

    def count_before(self, stage: int, seq: int) -> int:
        """Returns how many records are done in a stage that come before a position in the source."""
        sql = "SELECT count(*) FROM rows WHERE stage = ? AND run >= ? AND state = 'done' AND seq < ?"
        return int(self._database.value(sql, stage, self._meta.since, seq))

    def nth_done(self, stage: int, number: int) -> Place | None:
        """Returns the position of the `number`th record that is done in a stage, counted from 1 in source order."""
        sql = f"SELECT seq, path FROM rows WHERE stage = ? AND run >= ? AND state = 'done' {_IN_ORDER} LIMIT 1 OFFSET ?"  # noqa: S608
        row = self._database.one(sql, stage, self._meta.since, number - 1)
        return None if row is None else (row[0], path_numbers(row[1]))

    def counts(self, last: Place | None = None) -> list[OutcomeCount]:
        """Returns the number of records by outcome, up to a position in the source."""
        where = "WHERE run >= ?"
        arguments: list[SqlValue] = [self._meta.since]
        if last is not None:
            where += " AND (seq, path) <= (?, ?)"
            arguments += [last[0], path_text(last[1])]
        sql = f"SELECT stage, state, step, count(*) FROM rows {where} GROUP BY stage, state, step"  # noqa: S608
        return [count_of(row) for row in self._database.all(sql, *arguments)]

    def count_final(self) -> int:
        """Returns how many source records are final, with all their children, in the first stage that has rows."""
        first = "(SELECT min(stage) FROM rows WHERE run >= ?1)"
        sql = f"SELECT count(*) FROM rows WHERE run >= ?1 AND path = '' AND stage = {first}"  # noqa: S608
        return int(self._database.value(sql, self._meta.since))

    def failures(self, limit: int = -1) -> Iterator[FailedRecord]:
        """Yields the records that failed, in source order of each stage, streamed.

        Args:
            limit: maximum number of records; -1: all.
        """
        sql = "SELECT id, step, reason FROM rows WHERE run >= ? AND state = 'failed' ORDER BY stage, seq, path LIMIT ?"
        return (FailedRecord(*row) for row in self._database.stream(sql, self._meta.since, limit))


def of(record: str) -> tuple[str, str, str]:
    """Returns the arguments of `OF_RECORD`."""
    record = clean(record)
    return record, f"{record}/", f"{record}{chr(ord('/') + 1)}"


def place(stage: int, record: Record) -> tuple[int, str, str]:
    """Returns the primary key of a record's row."""
    return (stage, record.origin, path_text(record.path))


def count_of(row: Values) -> OutcomeCount:
    """Returns the count of a row of stage, state, step, number. Raises JournalError if it is damaged."""
    try:
        return OutcomeCount(operator.index(row[0]), RecordStatus(row[1]), row[2], row[3])
    except (TypeError, ValueError) as error:
        raise JournalError(f"the journal is damaged: {error}; `mminf repair` saves what can be read") from error


def _sorted(fields: str) -> bytes:
    """Returns the JSON of fields with its keys in order: steps that run at the same time write them in any order."""
    try:
        return orjson.dumps(orjson.loads(fields), option=orjson.OPT_SORT_KEYS)
    except (ValueError, TypeError):  # lone surrogates, numbers beyond 64 bits, or damage, which reading it reports
        return str(fields).encode("utf-8", "surrogatepass")
