"""The journal's file and its tables."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mminf.errors import JournalError

FILE = "journal.sqlite"
VERSION = 2

TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- One row a model call that was answered. `prompt` is the chat, deflated against the first chat of its step.
CREATE TABLE IF NOT EXISTS memo (
    key BLOB PRIMARY KEY,
    step TEXT NOT NULL, record TEXT NOT NULL, attempt INTEGER NOT NULL, sample INTEGER NOT NULL,
    text TEXT NOT NULL, finish_reason TEXT NOT NULL, logprobs TEXT, choice_logprobs TEXT,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    seconds REAL NOT NULL, run INTEGER NOT NULL,
    prompt_id INTEGER, prompt BLOB
) WITHOUT ROWID;

-- The reasoning before the answers of the memo. A separate table, so that older journals stay readable.
CREATE TABLE IF NOT EXISTS reasoning (key BLOB PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;

-- The embeddings that were answers, float32, little-endian.
CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL);

-- The first prompt of each step: the chat, and the text that the model was sent.
CREATE TABLE IF NOT EXISTS prompts (
    id INTEGER PRIMARY KEY, step TEXT NOT NULL, chat BLOB NOT NULL, sent TEXT, tokens INTEGER
);

-- What became of each record in each stage. state: done, dropped, failed, expanded (its children carry on).
-- A row is known by the source record that it came from and its path below it: an id may look like a child's.
-- `key` is what the outcome was computed from; the row of a source record is written after those of its children,
-- so a row with the right key says that everything below it is final, too.
CREATE TABLE IF NOT EXISTS rows (
    stage INTEGER NOT NULL, id TEXT NOT NULL,
    root TEXT NOT NULL, seq INTEGER NOT NULL, path TEXT NOT NULL,
    run INTEGER NOT NULL, key TEXT,
    state TEXT NOT NULL, step TEXT, reason TEXT, fields TEXT NOT NULL,
    PRIMARY KEY (stage, root, path)
);
CREATE INDEX IF NOT EXISTS rows_in_order ON rows (stage, seq, path);
CREATE INDEX IF NOT EXISTS rows_by_id ON rows (id);

-- Records of the run under way that wait for an engine to be loaded: what they started with, and how far they are.
CREATE TABLE IF NOT EXISTS parked (
    stage INTEGER NOT NULL, seq INTEGER NOT NULL, path TEXT NOT NULL, root TEXT NOT NULL,
    id TEXT NOT NULL, fields TEXT NOT NULL, tree TEXT NOT NULL, key TEXT NOT NULL,
    PRIMARY KEY (stage, seq, path, root)
) WITHOUT ROWID;

-- Digests of image files that have not changed since (size, modification time).
CREATE TABLE IF NOT EXISTS images (
    uri TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, digest TEXT NOT NULL
) WITHOUT ROWID;

-- In a part's journal: what became of records that the main journal knew. kept: its rows are taken over into this run;
-- else they are gone, and what this journal has instead counts.
CREATE TABLE IF NOT EXISTS touched (
    stage INTEGER NOT NULL, root TEXT NOT NULL, path TEXT NOT NULL,
    seq INTEGER NOT NULL, kept INTEGER NOT NULL, run INTEGER NOT NULL,
    PRIMARY KEY (stage, root, path)
) WITHOUT ROWID;

-- Attempts that `mminf retry` has written off.
CREATE TABLE IF NOT EXISTS retries (
    record TEXT NOT NULL, step TEXT NOT NULL, attempts INTEGER NOT NULL, PRIMARY KEY (record, step)
) WITHOUT ROWID;
"""

TOKENS = "special_tokens:"
"""Prefix of the keys in `meta` for models' special tokens."""
TOTALS = "SELECT step, count(*), sum(prompt_tokens), sum(completion_tokens), sum(seconds) FROM memo GROUP BY step"
"""Columns: step, calls, prompt_tokens, completion_tokens, seconds."""
HAS_REASONING = "SELECT 1 FROM sqlite_master WHERE name = 'reasoning'"
"""Journals of earlier versions, opened for reading, lack the table."""


def totals_of(rows: Iterable[tuple[Any, ...]]) -> dict[str, dict[str, float]]:
    """Returns the rows of `TOTALS` by step and column."""
    names = ("calls", "prompt_tokens", "completion_tokens", "seconds")
    return {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}


def check_tables(connection: sqlite3.Connection, path: Path, schema: str = "main") -> None:
    """Checks that what a journal calls a table is one: a view could compute without end, and a trigger write.

    Raises:
        JournalError: naming what is not a table.
    """
    found = connection.execute(
        f"SELECT name, type FROM {schema}.sqlite_master WHERE type NOT IN ('table', 'index') LIMIT 1"  # noqa: S608
    ).fetchone()
    if found is not None:
        raise JournalError(f"{path} is not a journal of mminf: {found[0]!r} in it is a {found[1]}")


@contextlib.contextmanager
def open_reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Opens a journal for reading, also where nothing may be written: not even the files beside it that SQLite makes.

    Docs: SQLite, "Write-Ahead Logging > Read-Only Databases".
    """
    with contextlib.ExitStack() as stack:
        try:
            if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
                connection = connect(path)  # the last one to close it also removes the files beside it
                connection.execute("PRAGMA query_only = ON")
            else:
                connection = _open_uri(path, "mode=ro")
        except sqlite3.OperationalError:
            log = path.with_name(f"{path.name}-wal")
            if log.is_file() and log.stat().st_size:
                # A killed run has left its last pages in the log, which can't be read without a file beside it.
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mminf-")))
                shutil.copyfile(path, folder / path.name)
                shutil.copyfile(log, folder / log.name)
                connection = connect(folder / path.name)
            else:
                connection = _open_uri(path, "immutable=1")
        stack.callback(connection.close)
        yield connection


def _open_uri(path: Path, how: str) -> sqlite3.Connection:
    uri = f"file:{quote(str(path.resolve()))}?{how}"
    connection = sqlite3.connect(uri, uri=True, timeout=60, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def connect(path: Path) -> sqlite3.Connection:
    """Returns a connection to a journal, which is made if it isn't there."""
    # Autocommit: the writer groups its commits itself. WAL with NORMAL survives a killed process whole; after a
    # power cut the last commits may be missing, and are computed again.
    connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection
