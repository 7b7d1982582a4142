"""Connections to the file of a journal: for writing, and for reading without write permission."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

from mminf.errors import JournalError
from mminf.journal.checksum import add_functions
from mminf.journal.schema import ADDED, COLUMNS, READABLE, TABLES, VERSION, checksum_sql, insert


def connect(path: Path) -> sqlite3.Connection:
    """Returns a connection to a journal, which is created if it does not exist."""
    # Autocommit: the writer groups its commits itself. With WAL and NORMAL, a killed process loses no commit; after a
    # power failure, the last commits may be missing, and their calls are repeated.
    connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    add_functions(connection)
    return connection


def create_tables(path: Path) -> None:
    """Creates the tables of a journal that lacks them, and upgrades those of an earlier version; one transaction.

    Raises:
        JournalError: if its version is unknown.
        sqlite3.DatabaseError: if the file is damaged.
    """
    with contextlib.closing(connect(path)) as connection:
        check_tables(connection, path)
        check_version(connection, path)
        connection.execute("BEGIN IMMEDIATE")
        for statement in split_statements(TABLES):
            connection.execute(statement)
        for table in COLUMNS:
            for name in absent_columns(connection, table):
                connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {ADDED[table][name]}")
            if not _has_checksums(connection, table):
                connection.execute(f"ALTER TABLE {table} ADD COLUMN checksum INTEGER")
                connection.execute(f"UPDATE {table} SET checksum = {checksum_sql(table)}")  # noqa: S608
        connection.execute(insert("meta", or_="REPLACE"), ("version", str(VERSION)))
        connection.execute("COMMIT")


def split_statements(sql: str) -> list[str]:
    """Returns the statements of a script; those of `executescript` would not be part of a transaction."""
    found, start = [], 0
    for end, char in enumerate(sql, 1):
        if char == ";" and sqlite3.complete_statement(sql[start:end]):
            found.append(sql[start:end].strip())
            start = end
    return found


def absent_columns(connection: sqlite3.Connection, table: str) -> list[str]:
    """Returns the columns of a table that a journal lacks, because an earlier version has written it."""
    present = {name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}
    return [name for name in COLUMNS[table] if name not in present] if present else []


def columns_sql(connection: sqlite3.Connection, table: str, names: Iterable[str] | None = None) -> dict[str, str]:
    """Returns the SQL of a table's columns, by name: NULL for those that the journal lacks."""
    absent = absent_columns(connection, table)
    return {name: "NULL" if name in absent else name for name in names or COLUMNS[table]}


def has_tables(connection: sqlite3.Connection) -> bool:
    """Returns whether a journal has tables; a run that was killed at once leaves a file without tables."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is not None


def has_checksums(connection: sqlite3.Connection) -> bool:
    """Returns whether the rows of a journal have checksums; those of version 2 have none."""
    return _has_checksums(connection, "rows")


def _has_checksums(connection: sqlite3.Connection, table: str) -> bool:
    sql = "SELECT 1 FROM pragma_table_info(?) WHERE name = 'checksum'"
    return connection.execute(sql, (table,)).fetchone() is not None


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Raises JournalError if a journal has a version that this mminf can't read."""
    if not has_tables(connection):
        return
    found = connection.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()
    if found is not None and found[0] not in {str(version) for version in READABLE}:
        raise JournalError(
            f"{path} has journal version {found[0]}, this mminf writes version {VERSION}; "
            "use the mminf that made it, or another output folder"
        )


def check_tables(connection: sqlite3.Connection, path: Path, schema: str = "main") -> None:
    """Checks that a journal contains only tables and indexes: a view could run forever, and a trigger could write.

    Raises:
        JournalError: if it contains anything else, which the message names.
    """
    found = connection.execute(
        f"SELECT name, type FROM {schema}.sqlite_master WHERE type NOT IN ('table', 'index') LIMIT 1"  # noqa: S608
    ).fetchone()
    if found is not None:
        raise JournalError(f"{path} is not a journal of mminf: {found[0]!r} in it is a {found[1]}")


@contextlib.contextmanager
def open_reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Opens a journal for reading, even without permission to write the files that SQLite creates next to it.

    Docs: SQLite, "Write-Ahead Logging > Read-Only Databases".
    """
    with contextlib.ExitStack() as stack:
        try:
            if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
                connection = connect(path)  # closing the last connection also removes the files next to it
                connection.execute("PRAGMA query_only = ON")
            else:
                connection = open_uri(path, "mode=ro")
        except sqlite3.OperationalError:
            log = path.with_name(f"{path.name}-wal")
            if log.is_file() and log.stat().st_size:
                # A killed run has left its last pages in the log, which can't be read without a file next to it.
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mminf-")))
                shutil.copyfile(path, folder / path.name)
                shutil.copyfile(log, folder / log.name)
                connection = connect(folder / path.name)
            else:
                connection = open_uri(path, "immutable=1")
        stack.callback(connection.close)
        yield connection


def open_uri(path: Path, how: str) -> sqlite3.Connection:
    """Returns a connection with options of SQLite's URIs, such as `mode=ro`. Raises sqlite3.DatabaseError."""
    uri = f"file:{quote(str(path.resolve()))}?{how}"
    connection = sqlite3.connect(uri, uri=True, timeout=60, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.DatabaseError:
        connection.close()
        raise
    add_functions(connection)
    return connection
