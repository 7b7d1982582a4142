"""Saves the readable rows of a damaged journal.

The memo is saved row by row, if the row's checksum is right, because it cost model calls. Outcomes follow from the memo
without a call. They are saved only if all of them can be read, because a lost row of a child would not be noticed.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mminf.errors import JournalError
from mminf.journal.checksum import SqlValue, add_functions
from mminf.journal.connection import check_tables, columns_sql, create_tables, has_checksums
from mminf.journal.database import DAMAGE, Values
from mminf.journal.folders import shard_folders
from mminf.journal.lock import hold
from mminf.journal.schema import COLUMNS, FILE, checksum_sql, insert
from mminf.states import RunState

_HEADER = b"SQLite format 3\x00"
_SAVED = ("meta", "memo", "reasoning", "vectors", "prompts", "retries")
_PARTS = ("reasoning", "vectors")
"""Tables with parts of the answers in the memo."""
_OUTCOMES = ("rows", "touched")
_KEYS = {"rows": "rowid", "vectors": "rowid", "prompts": "id", "touched": "stage", "retries": "record"}
_SPLITS = 12
"""Maximum number of times that a gap between readable rows is halved, to find readable rows in it."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """The result of a repair.

    Attributes:
        damaged: copies of the damaged files.
        saved: rows by table.
        lost: rows by table whose checksum was wrong; the number of unreadable rows is unknown.
        outcomes: whether the outcomes of records were saved; otherwise the next run computes them again, from the memo.
    """

    damaged: list[Path] = field(default_factory=list)
    saved: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    outcomes: bool = True


def repair_journal(output: Path, *, locked: bool = False) -> Repaired:
    """Replaces the damaged journals in an output folder, including those of shards, by journals of the readable rows.

    Args:
        locked: the caller holds the lock of the output already.

    Raises:
        JournalError: if there is no journal, or another process writes it.
    """
    folders = [folder for folder in (output, *shard_folders(output).values()) if (folder / FILE).is_file()]
    if not folders:
        raise JournalError(f"no journal in {output}")
    whole = Repaired()
    with contextlib.ExitStack() as locks:
        for folder in folders:
            if folder != output or not locked:
                locks.enter_context(hold(folder))
        for folder in folders:
            if not is_sound(folder / FILE):
                whole = _add(whole, _repair(folder / FILE))
    return whole


def is_sound(path: Path) -> bool:
    """Returns whether a journal's structure and all its checksums are right."""
    try:
        with contextlib.closing(_open(path)) as connection:
            check_tables(connection, path)
            if connection.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
                return False
            if not has_checksums(connection):
                return True
            return not any(_has_wrong(connection, table) for table in COLUMNS if _exists(connection, table))
    except (*DAMAGE, JournalError):
        return False


def _has_wrong(connection: sqlite3.Connection, table: str) -> bool:
    sums = checksum_sql(table, columns_sql(connection, table))
    sql = f"SELECT 1 FROM {table} WHERE checksum IS NOT {sums} LIMIT 1"  # noqa: S608
    return connection.execute(sql).fetchone() is not None


def _repair(path: Path) -> Repaired:
    damaged = _free_name(path)
    repaired = path.with_name(f"{path.name}.repaired")
    for old in (repaired, *_logs(repaired)):
        old.unlink(missing_ok=True)
    _restore_header(path)
    create_tables(repaired)
    saved: dict[str, int] = {}
    lost: dict[str, int] = {}
    with contextlib.closing(_open(path)) as source, contextlib.closing(_open(repaired)) as to:
        # Without the number of the last run, rows of earlier runs would count.
        # Fields of outcomes refer to vectors.
        outcomes = all(_is_whole(source, table) for table in ("meta", "vectors", *_OUTCOMES))
        to.execute("BEGIN")
        for table in (*_SAVED, *(_OUTCOMES if outcomes else ())):
            saved[table], lost[table] = _copy(source, to, table)
        saved["memo"] -= _forget_partial(to, [table for table in _PARTS if not _is_whole(source, table)])
        if not outcomes:
            _forget_end(to)
        to.execute("COMMIT")
        to.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    # A journal exists at every moment, and a log is never next to a file that it does not belong to.
    try:
        damaged.hardlink_to(path)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, damaged)
    for log in _logs(path):
        if log.exists():
            log.rename(damaged.with_name(log.name.replace(path.name, damaged.name)))
    repaired.replace(path)
    return Repaired([damaged], saved, lost, outcomes)


def _restore_header(path: Path) -> None:
    """Restores the first bytes of the file, which are the same in all databases."""
    with path.open("r+b") as file:
        if path.stat().st_size >= 100 and file.read(len(_HEADER)) != _HEADER:
            file.seek(0)
            file.write(_HEADER)


def _is_whole(connection: sqlite3.Connection, table: str) -> bool:
    try:
        if connection.execute(f"PRAGMA integrity_check({table})").fetchone()[0] != "ok":
            return False
        return not has_checksums(connection) or not _has_wrong(connection, table)
    except DAMAGE:
        return False


def _exists(connection: sqlite3.Connection, table: str) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone() is not None


def _forget_partial(connection: sqlite3.Connection, damaged: Sequence[str]) -> int:
    """Removes saved answers that may lack a part: a call without its reasoning or vector is another answer.

    Whether an answer had the part is not known, so all that lack it are removed, and their calls are repeated. Prompts
    are shown only: without the first prompt of a step, those of its other calls are forgotten.

    Args:
        damaged: tables whose rows may be incomplete.

    Returns:
        The number of answers that were removed.
    """
    removed = 0
    for table in damaged:
        text = " AND text = ''" if table == "vectors" else ""
        removed += connection.execute(f"DELETE FROM memo WHERE key NOT IN (SELECT key FROM {table}){text}").rowcount  # noqa: S608
    without = checksum_sql("memo", {"prompt_id": "NULL", "prompt": "NULL"})
    connection.execute(
        f"UPDATE memo SET checksum = {without}, prompt_id = NULL, prompt = NULL "  # noqa: S608
        "WHERE prompt_id NOT IN (SELECT id FROM prompts)"
    )
    return removed


def _copy(source: sqlite3.Connection, to: sqlite3.Connection, table: str) -> tuple[int, int]:
    """Copies the readable rows of a table. Returns how many were saved, and how many had a wrong checksum."""
    saved = lost = 0
    sql = insert(table, or_="IGNORE")
    for row in _readable(source, table):
        *values, is_right = row
        if is_right == 0:
            lost += 1
            continue
        with contextlib.suppress(sqlite3.Error, OverflowError):  # a value that no column takes
            saved += to.execute(sql, values).rowcount
    return saved, lost


def _readable(connection: sqlite3.Connection, table: str) -> Iterator[Values]:
    """Yields columns of the rows that can be read, and whether the checksum is right (None: there is none).

    Rows are read from the start. If that stops at damage, they are also read from the end, and from points in the gap
    (bisection); then a row may be yielded twice.
    """
    key = _KEYS.get(table, COLUMNS[table][0])
    low = high = None
    for row in _scan(connection, table, key, "", ""):
        low = row[0]
        yield row[1:]
    if low is not None and _is_readable(connection, table):
        return
    for row in _scan(connection, table, key, "", "DESC"):
        high = row[0]
        yield row[1:]
    yield from _search_gap(connection, table, key, low, high, _SPLITS)


def _is_readable(connection: sqlite3.Connection, table: str) -> bool:
    try:
        lengths = ", ".join(f"max(length({column}))" for column in columns_sql(connection, table).values())
        connection.execute(f"SELECT {lengths} FROM {table}").fetchone()  # noqa: S608
    except DAMAGE:
        return False
    return True


def _search_gap(
    connection: sqlite3.Connection, table: str, key: str, low: SqlValue, high: SqlValue, splits: int
) -> Iterator[Values]:
    middle = _between(low, high)
    if middle is None or splits == 0:
        return
    first, last = middle, middle
    for row in _scan(connection, table, key, f"WHERE {key} >= ? AND {key} < ?", "", middle, high):
        last = row[0]
        yield row[1:]
    for row in _scan(connection, table, key, f"WHERE {key} < ? AND {key} > ?", "DESC", middle, low):
        first = row[0]
        yield row[1:]
    yield from _search_gap(connection, table, key, low, first, splits - 1)
    yield from _search_gap(connection, table, key, last, high, splits - 1)


def _scan(
    connection: sqlite3.Connection, table: str, key: str, where: str, order: str, *arguments: SqlValue
) -> Iterator[Values]:
    """Yields key, columns and checksum of rows until one can't be read."""
    try:
        columns = columns_sql(connection, table)
        right = f"checksum IS {checksum_sql(table, columns)}" if has_checksums(connection) else "NULL"
        sql = f"SELECT {key}, {', '.join(columns.values())}, {right} FROM {table} {where} ORDER BY {key} {order}"  # noqa: S608
        yield from connection.execute(sql, arguments)
    except (sqlite3.Error, UnicodeDecodeError):
        return


def _between(low: SqlValue, high: SqlValue) -> SqlValue:
    """Returns a key in the middle between two keys; None if there is none."""
    if isinstance(low, int) and isinstance(high, int):
        return (low + high) // 2 if high - low > 1 else None
    if isinstance(low, bytes) and isinstance(high, bytes) and low < high:
        size = max(len(low), len(high))
        a, b = (int.from_bytes(item.ljust(size, b"\0"), "big") for item in (low, high))
        return ((a + b) // 2).to_bytes(size, "big") if b - a > 1 else None
    return None


def _forget_end(connection: sqlite3.Connection) -> None:
    """Marks the last run as interrupted: its outcomes are computed again."""
    connection.execute("DELETE FROM meta WHERE key IN ('finished_run', 'finished_recipe', 'phase', 'position')")
    connection.execute("DELETE FROM meta WHERE substr(key, 1, 7) = 'merged:'")
    connection.execute(insert("meta", or_="REPLACE"), ("state", RunState.INTERRUPTED.value))


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=60, isolation_level=None)
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    add_functions(connection)
    return connection


def _logs(path: Path) -> list[Path]:
    return [path.with_name(f"{path.name}{ending}") for ending in ("-wal", "-shm")]


def _free_name(path: Path) -> Path:
    numbers = (path.with_name(f"{path.name}.damaged-{number}") for number in range(1, 1000))
    return next(name for name in numbers if not name.exists())


def _add(whole: Repaired, one: Repaired) -> Repaired:
    def total(a: dict[str, int], b: dict[str, int]) -> dict[str, int]:
        return {name: a.get(name, 0) + b.get(name, 0) for name in a | b}

    return Repaired(
        [*whole.damaged, *one.damaged],
        total(whole.saved, one.saved),
        total(whole.lost, one.lost),
        whole.outcomes and one.outcomes,
    )
