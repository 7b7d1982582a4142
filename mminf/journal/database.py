"""A journal's SQLite file: a connection that reads, and a thread that writes."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from mminf.errors import JournalError
from mminf.journal.checksum import SqlValue, added_checksum, checksum, outcome_checksum
from mminf.journal.connection import (
    check_tables,
    check_version,
    columns_sql,
    connect,
    create_tables,
    has_checksums,
    open_reading,
)
from mminf.journal.schema import ADDED, COLUMNS, checksum_sql, insert
from mminf.journal.writer import Statement, Writer, damaged

DAMAGE = (sqlite3.DatabaseError, UnicodeDecodeError)
"""Exceptions of SQLite for a damaged file; their messages may quote bytes that are not text."""
Values = tuple[Any, ...]
"""A row as SQLite returns it."""


Opener = Callable[[], AbstractContextManager[sqlite3.Connection]]


class Database:
    """Reads and writes the rows of a journal, and verifies their checksums.

    All methods raise JournalError if the file is damaged.

    Args:
        path: path of the file, for messages.
        opener: opens a connection for reading; called once for most queries, and once per `stream`.
        writer: the writing thread, if there is one.
    """

    def __init__(self, path: Path, opener: Opener, writer: Writer | None = None) -> None:
        self.path = path
        self._opener = opener
        self._writer = writer
        self._batch: list[Statement] | None = None
        with contextlib.ExitStack() as stack, reading(path):
            self._reader = stack.enter_context(opener())
            check_tables(self._reader, path)
            check_version(self._reader, path)
            self._sql: dict[str, dict[str, str]] = {}
            self._checksum = "checksum" if has_checksums(self._reader) else "NULL"
            self._open = stack.pop_all()

    def close(self) -> None:
        """Commits all queued statements, and closes the file."""
        try:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
        finally:
            self._open.close()

    @property
    def writer(self) -> Writer:
        """The writing thread. Raises JournalError if the journal was opened for reading."""
        if self._writer is None:
            raise JournalError("the journal was opened for reading")
        return self._writer

    def one(self, sql: str, *arguments: SqlValue) -> Values | None:
        """Returns the first row of a query, or None."""
        try:
            row: Values | None = self._reader.execute(sql, arguments).fetchone()
        except DAMAGE as error:
            raise damaged(self.path, error) from error
        return row

    def value(self, sql: str, *arguments: SqlValue) -> Any:
        """Returns the first column of the first row of a query, or None."""
        row = self.one(sql, *arguments)
        return None if row is None else row[0]

    def all(self, sql: str, *arguments: SqlValue) -> list[Values]:
        """Returns the rows of a query."""
        with reading(self.path):
            return self._reader.execute(sql, arguments).fetchall()

    def stream(self, sql: str, *arguments: SqlValue, lenient: bool = False) -> Iterator[Values]:
        """Yields the rows of a query on a separate connection: in any thread, and while others are read.

        Args:
            lenient: yield rows with a text that is not UTF-8; their checksums are wrong. Otherwise they end the query.
        """
        with reading(self.path), self._opener() as connection:
            if lenient:
                connection.text_factory = lambda data: data.decode("utf-8", "replace")
            yield from connection.execute(sql, arguments)

    def select(self, table: str, where: str, names: Iterable[str] | None = None) -> str:
        """Returns the SQL that selects rows of a table, whose last column is the checksum; see `verify`."""
        known = self._columns(table)
        found = ", ".join(known[name] for name in names or known)
        return f"SELECT {found}, {self._checksum} FROM {table} {where}"  # noqa: S608

    def _columns(self, table: str) -> dict[str, str]:
        """Returns the SQL of a table's columns, by name; a table that the journal lacks can't be selected from."""
        if table not in self._sql:
            with reading(self.path):
                self._sql[table] = columns_sql(self._reader, table)
        return self._sql[table]

    def find(self, table: str, where: str, *arguments: SqlValue) -> Values | None:
        """Returns the first row of a table that meets a condition, verified, or None."""
        row = self.one(self.select(table, where), *arguments)
        return None if row is None else self.verify(table, row)

    def verify(self, table: str, row: Values) -> Values:
        """Returns a row without its checksum. Raises JournalError if the checksum is wrong."""
        *values, known = row
        if known is None and self._checksum == "NULL":
            return tuple(values)  # of an earlier version
        if known != _checksum_of(table, values):
            raise damaged(self.path, f"the checksum of a row in table {table!r} is wrong ({values[:2]!r:.80})")
        return tuple(values)

    def check(self, table: str) -> None:
        """Checks the structure of a table and its indexes: an index that lacks an entry hides rows.

        Docs: SQLite, "PRAGMA integrity_check".
        """
        found = self.value(f"PRAGMA integrity_check({table})")
        if found != "ok":
            raise damaged(self.path, found)

    def check_rows(self, table: str) -> None:
        """Checks the checksums of all rows of a table: a condition on a damaged value hides its row."""
        if self._checksum == "NULL":
            return
        sums = checksum_sql(table, self._columns(table))
        wrong = f"SELECT 1 FROM {table} WHERE checksum IS NOT {sums} LIMIT 1"  # noqa: S608
        if self.one(wrong) is not None:
            raise damaged(self.path, f"the checksum of a row in table {table!r} is wrong")

    def insert(self, table: str, *values: SqlValue) -> None:
        """Queues a row, which replaces the one with its primary key."""
        self._queue(inserting(table, values))

    def execute(self, sql: str, *arguments: SqlValue) -> None:
        """Queues a statement."""
        self._queue(Statement(sql, arguments))

    def _queue(self, statement: Statement) -> None:
        if self._batch is None:
            self.writer.post([statement])
        else:
            self._batch.append(statement)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Commits the statements that are queued in the context in one transaction: after a kill, all or none exist."""
        outer, self._batch = self._batch, []
        batch = self._batch
        try:
            yield
        finally:
            self._batch = outer
        if outer is not None:
            outer += batch
        elif batch:
            self.writer.post(batch)

    async def commit(self, statements: Iterable[Statement] = ()) -> None:
        """Returns once the statements, and all statements queued before them, are committed."""
        await self.writer.commit(list(statements))


def inserting(table: str, values: Values | Callable[[], Values], *, or_: str = "REPLACE") -> Statement:
    """Returns the statement that inserts a row with its checksum.

    The checksum is computed in the writing thread, next to the loop that feeds the engines, and before SQLite is
    called: a function that SQLite calls takes the interpreter from that loop once more per row.

    Args:
        values: `COLUMNS` of the table, or a function that returns them; it is called in the writing thread.
        or_: `IGNORE` or `REPLACE`, where there is a row with the same primary key.
    """

    def arguments() -> Values:
        row = values() if callable(values) else values
        if len(row) != len(COLUMNS[table]):
            raise ValueError(f"a row of table {table!r} has {len(COLUMNS[table])} values, not {len(row)}")
        return (*row, _checksum_of(table, row))

    return Statement(insert(table, or_=or_, given=True), arguments)


def _checksum_of(table: str, values: Sequence[Any]) -> int | None:
    if (added := ADDED.get(table)) is None:
        return _first_checksum(table, values)
    first = _first_checksum(table, values[: -len(added)])
    extra = sum(added_checksum(name, value) for name, value in zip(added, values[-len(added) :], strict=True))
    return None if first is None else first + extra


def _first_checksum(table: str, values: Sequence[Any]) -> int | None:
    if table != "rows":
        return checksum(*values)
    stage, record, root, seq, path, run, *rest = values
    try:
        return outcome_checksum(run, seq, stage, record, root, path, *rest)
    except TypeError:  # a number that became a text
        return None


def open_database(path: Path, *, write: bool = False) -> Database:
    """Opens the file of a journal.

    Args:
        write: start a writing thread; the file and its tables are created if they do not exist.

    Raises:
        JournalError: if the file is damaged, not a journal, or of another version.
    """
    if not write:
        return Database(path, lambda: open_reading(path))
    with reading(path):
        create_tables(path)
    return Database(path, lambda: contextlib.closing(connect(path)), Writer(path, lambda: connect(path)))


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Converts the exceptions of SQLite for a damaged file to JournalError."""
    try:
        yield
    except DAMAGE as error:
        raise damaged(path, error) from error
