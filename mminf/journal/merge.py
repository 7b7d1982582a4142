"""Journals of parts: read beside the main one while they are written, taken over into it afterwards.

The main journal is frozen while parts are at work: nobody writes to it, so that processes on other machines may read
it without SQLite's locks, which network file systems don't keep.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mminf.errors import JournalError
from mminf.journal.codec import BELOW, below_path
from mminf.journal.lock import hold
from mminf.journal.row import Row, row_of
from mminf.journal.schema import FILE, HAS_REASONING, TABLES, TOKENS, TOTALS, VERSION, check_tables, connect, totals_of
from mminf.part import Part

PARTS = "parts"
_MEMO = (
    "key, step, record, attempt, sample, text, finish_reason, logprobs, choice_logprobs, prompt_tokens, "
    "completion_tokens, seconds"
)


class FrozenJournal:
    """A journal that nobody writes to meanwhile.

    Args:
        folder: its run's output folder; there may be no journal in it yet.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / FILE
        self._connection: sqlite3.Connection | None = None
        if path.is_file():
            uri = f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1"
            self._connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
            check_tables(self._connection, path)
        self.has_memo = self.one("SELECT 1 FROM memo LIMIT 1") is not None
        self.has_rows = self.one("SELECT 1 FROM rows LIMIT 1") is not None
        has_table = self.one(HAS_REASONING) is not None
        self.has_reasoning = has_table and self.one("SELECT 1 FROM reasoning LIMIT 1") is not None
        self.has_images = self.one("SELECT 1 FROM images LIMIT 1") is not None

    def one(self, sql: str, *arguments: Any) -> Any:
        """Returns the first row of a query, or None."""
        return None if self._connection is None else self._connection.execute(sql, arguments).fetchone()

    def all(self, sql: str, *arguments: Any) -> Iterator[Any]:
        """Yields the rows of a query."""
        return iter(()) if self._connection is None else iter(self._connection.execute(sql, arguments))

    def meta(self, key: str) -> str | None:
        """Returns a setting of the run."""
        row = self.one("SELECT value FROM meta WHERE key = ?", key)
        return None if row is None else str(row[0])

    def totals(self) -> dict[str, dict[str, float]]:
        """Returns per step: calls, prompt_tokens, completion_tokens, seconds."""
        return totals_of(self.all(TOTALS))

    def rows(self, stage: int) -> Iterator[Row]:
        """Yields the last run's rows of a stage that are done, in source order, streamed."""
        sql = "SELECT * FROM rows WHERE stage = ? AND run >= ? AND state = 'done' ORDER BY seq, path"
        return (row_of(row) for row in self.all(sql, stage, int(self.meta("run") or 0)))

    def close(self) -> None:
        """Closes the file."""
        if self._connection is not None:
            self._connection.close()


def freeze(folder: Path, seconds: float = 60.0) -> None:
    """Brings all that was committed into the journal's one file. Raises JournalError if a reader keeps it from that."""
    connection = connect(folder / FILE)
    try:
        deadline = time.monotonic() + seconds
        while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if time.monotonic() > deadline:
                raise JournalError(f"another process keeps reading {folder / FILE}; end it, and run again")
            time.sleep(0.1)
    finally:
        connection.close()


def part_folder(folder: Path, part: Part) -> Path:
    """Returns the folder of a part's journal."""
    return folder / PARTS / part.name


def part_folders(folder: Path) -> dict[Part, Path]:
    """Returns the folders of the part journals that wait to be merged."""
    if not (folder / PARTS).is_dir():
        return {}
    found = {Part.of_name(path.name): path for path in sorted((folder / PARTS).iterdir()) if (path / FILE).is_file()}
    return {part: path for part, path in found.items() if part is not None}


def absorb_parts(folder: Path) -> int:
    """Takes over, and removes, all part journals in an output folder. Returns how many there were.

    Args:
        folder: of the main journal, whose lock the caller holds.

    Raises:
        JournalError: if one of them is still written to.
    """
    found = part_folders(folder)
    with contextlib.ExitStack() as locks:
        # All of them before the first: a part that is still at work reads the main journal as one that nobody writes.
        for path in found.values():
            locks.enter_context(hold(path))
        for path in found.values():
            absorb(folder, path)
            shutil.rmtree(path)
    with contextlib.suppress(OSError):  # not there, or something else is in it
        (folder / PARTS).rmdir()
    return len(found)


def absorb(folder: Path, part: Path) -> None:
    """Takes a part's journal over into the main one, in one transaction; may be repeated.

    Its rows count as the main journal's last run, if they were made for that one. Else they are no result, but the
    next run may take them over, as far as the main journal has nothing of the same source record.

    Args:
        folder: of the main journal, whose lock the caller holds.
        part: folder of the part's journal, which nobody writes.
    """
    connection = connect(folder / FILE)
    try:
        connection.executescript(TABLES)
        connection.execute("INSERT OR IGNORE INTO main.meta VALUES ('version', ?)", (str(VERSION),))
        connection.execute("ATTACH ? AS part", (str(part / FILE),))
        check_tables(connection, part / FILE, "part")
        _check_versions(connection, part)
        connection.execute("BEGIN IMMEDIATE")
        run = int(_meta(connection, "main", "run") or 0)
        _copy_calls(connection, run)
        if _same_run(connection, run):
            _copy_rows(connection, run)
        else:
            _offer_rows(connection)
        connection.execute("COMMIT")
    except sqlite3.DatabaseError as error:
        raise JournalError(f"the journal in {part} can't be merged: {error}") from error
    finally:
        connection.close()


def _meta(connection: sqlite3.Connection, schema: str, key: str) -> str | None:
    row = connection.execute(f"SELECT value FROM {schema}.meta WHERE key = ?", (key,)).fetchone()  # noqa: S608
    return None if row is None else str(row[0])


def _check_versions(connection: sqlite3.Connection, part: Path) -> None:
    ours, theirs = _meta(connection, "main", "version"), _meta(connection, "part", "version")
    if ours != theirs:
        raise JournalError(
            f"{part / FILE} has journal version {theirs}, the main journal {ours}; merge it with the mminf that made it"
        )


def _copy_calls(connection: sqlite3.Connection, run: int) -> None:
    offset = connection.execute("SELECT coalesce(max(id), 0) FROM main.prompts").fetchone()[0]
    connection.execute(
        "INSERT INTO main.prompts SELECT id + ?, step, chat, sent, tokens FROM part.prompts ORDER BY id", (offset,)
    )
    connection.execute(
        f"INSERT OR IGNORE INTO main.memo SELECT {_MEMO}, ?, prompt_id + ?, prompt FROM part.memo",  # noqa: S608
        (run, offset),
    )
    connection.execute("INSERT OR IGNORE INTO main.vectors SELECT key, vector FROM part.vectors")
    connection.execute(
        "INSERT OR REPLACE INTO main.meta SELECT key, value FROM part.meta WHERE substr(key, 1, ?) = ?",
        (len(TOKENS), TOKENS),
    )
    if connection.execute(HAS_REASONING.replace("sqlite_master", "part.sqlite_master")).fetchone() is not None:
        connection.execute("INSERT OR IGNORE INTO main.reasoning SELECT key, text FROM part.reasoning")
    connection.execute("INSERT OR REPLACE INTO main.images SELECT uri, size, mtime_ns, digest FROM part.images")


def _copy_rows(connection: sqlite3.Connection, run: int) -> None:
    since = int(_meta(connection, "part", "since") or 0)
    touched = "SELECT stage, root, path, seq FROM part.touched WHERE kept = ? AND run >= ?"
    for stage, root, path, seq in connection.execute(touched, (1, since)):
        update = f"UPDATE main.rows SET run = ?, seq = ? WHERE {BELOW}"  # noqa: S608
        connection.execute(update, (run, seq, *below_path(stage, root, path)))
    for stage, root, path, _ in connection.execute(touched, (0, 0)):
        connection.execute(f"DELETE FROM main.rows WHERE {BELOW}", below_path(stage, root, path))  # noqa: S608
    connection.execute(
        "INSERT OR REPLACE INTO main.rows SELECT stage, id, root, seq, path, ?, key, state, step, reason, fields "
        "FROM part.rows WHERE run >= ?",
        (run, since),
    )
    _offer_rows(connection)  # what the part's last run has not come to yet


def _offer_rows(connection: sqlite3.Connection) -> None:
    connection.execute(
        "INSERT INTO main.rows SELECT stage, id, root, seq, path, 0, key, state, step, reason, fields FROM part.rows p "
        "WHERE NOT EXISTS (SELECT 1 FROM main.rows m WHERE m.stage = p.stage AND m.root = p.root)"
    )


def _same_run(connection: sqlite3.Connection, run: int) -> bool:
    """Tells whether a part was at work for the main journal's last run: it has its number, and its recipe."""
    phase = json.loads(_meta(connection, "part", "phase") or "{}")
    recipes = {_meta(connection, schema, "recipe_digest") for schema in ("main", "part")}
    return phase.get("run") == run and len(recipes) == 1
