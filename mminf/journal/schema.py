"""The journal's tables.

Every table has a column `checksum` (see `checksum.py`). Journals of version 2 lack it; the upgrade computes it.
"""

from __future__ import annotations

from functools import cache

FILE = "journal.sqlite"
VERSION = 3
READABLE = frozenset({2, 3})
"""Versions that can be read. Opening one for writing upgrades it."""
LOG = "run.log"
"""The log of the run, next to the journal; see `mminf.engine.run_log`."""
SHARDS = "parts"
"""Folder in an output folder with the journals of shards."""

ADDED: dict[str, dict[str, str]] = {}
"""Columns that were added to a table after version 3, with their SQL types, by table.

They are the last of `COLUMNS`, and NULL in rows of an older version. NULL adds nothing to a checksum, so that such rows
remain valid. A new column needs an entry here, a new VERSION, and nothing in `TABLES`.
"""

_FIRST = {
    "meta": ("key", "value"),
    "memo": (
        "key",
        "step",
        "record",
        "attempt",
        "sample",
        "text",
        "finish_reason",
        "logprobs",
        "choice_logprobs",
        "prompt_tokens",
        "completion_tokens",
        "seconds",
        "run",
        "prompt_id",
        "prompt",
    ),
    "reasoning": ("key", "text"),
    "vectors": ("key", "vector"),
    "prompts": ("id", "step", "chat", "sent", "tokens"),
    "rows": ("stage", "id", "root", "seq", "path", "run", "key", "state", "step", "reason", "fields"),
    "parked": ("stage", "seq", "path", "root", "id", "fields", "tree", "key"),
    "images": ("uri", "size", "mtime_ns", "digest"),
    "touched": ("stage", "root", "path", "seq", "kept", "run"),
    "retries": ("record", "step", "attempts"),
}

COLUMNS = {table: (*names, *ADDED.get(table, ())) for table, names in _FIRST.items()}
"""The columns of each table, without the checksum."""

TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER) WITHOUT ROWID;

-- One row per answered model call. `prompt` is the chat, compressed with the first chat of its step as the dictionary.
CREATE TABLE IF NOT EXISTS memo (
    key BLOB PRIMARY KEY,
    step TEXT NOT NULL, record TEXT NOT NULL, attempt INTEGER NOT NULL, sample INTEGER NOT NULL,
    text TEXT NOT NULL, finish_reason TEXT NOT NULL, logprobs TEXT, choice_logprobs TEXT,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    seconds REAL NOT NULL, run INTEGER NOT NULL,
    prompt_id INTEGER, prompt BLOB, checksum INTEGER
) WITHOUT ROWID;

-- The reasoning before the answers of the memo. A separate table, so that older journals stay readable.
CREATE TABLE IF NOT EXISTS reasoning (key BLOB PRIMARY KEY, text TEXT NOT NULL, checksum INTEGER) WITHOUT ROWID;

-- Answers that are embeddings: float32, little-endian.
CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL, checksum INTEGER);

-- The first prompt of each step: the chat, and the text that was sent to the model.
CREATE TABLE IF NOT EXISTS prompts (
    id INTEGER PRIMARY KEY, step TEXT NOT NULL, chat BLOB NOT NULL, sent TEXT, tokens INTEGER, checksum INTEGER
);

-- The outcome of each record in each stage. state: done, dropped, failed, expanded (replaced by its children).
-- A row is identified by the source record that it came from and its path below it: an id may look like a child's.
-- `key` is a digest of the inputs of the outcome; the row of a source record is written after those of its children,
-- so a row with the right key says that everything below it is final, too.
CREATE TABLE IF NOT EXISTS rows (
    stage INTEGER NOT NULL, id TEXT NOT NULL,
    root TEXT NOT NULL, seq INTEGER NOT NULL, path TEXT NOT NULL,
    run INTEGER NOT NULL, key TEXT,
    state TEXT NOT NULL, step TEXT, reason TEXT, fields TEXT NOT NULL, checksum INTEGER,
    PRIMARY KEY (stage, root, path)
);
CREATE INDEX IF NOT EXISTS rows_in_order ON rows (stage, seq, path);
CREATE INDEX IF NOT EXISTS rows_by_id ON rows (id);

-- Records of the current run that wait for an engine to be loaded: their fields at the start of the stage, and the
-- progress of their steps.
CREATE TABLE IF NOT EXISTS parked (
    stage INTEGER NOT NULL, seq INTEGER NOT NULL, path TEXT NOT NULL, root TEXT NOT NULL,
    id TEXT NOT NULL, fields TEXT NOT NULL, tree TEXT NOT NULL, key TEXT NOT NULL, checksum INTEGER,
    PRIMARY KEY (stage, seq, path, root)
) WITHOUT ROWID;

-- Digests of image files that have not changed since (size, modification time).
CREATE TABLE IF NOT EXISTS images (
    uri TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, digest TEXT NOT NULL, checksum INTEGER
) WITHOUT ROWID;

-- In a shard's journal: records whose outcomes are in the main journal. kept: its rows belong to this run; otherwise
-- they do not count, and the rows of this journal count instead.
CREATE TABLE IF NOT EXISTS touched (
    stage INTEGER NOT NULL, root TEXT NOT NULL, path TEXT NOT NULL,
    seq INTEGER NOT NULL, kept INTEGER NOT NULL, run INTEGER NOT NULL, checksum INTEGER,
    PRIMARY KEY (stage, root, path)
) WITHOUT ROWID;

-- Attempts that `mminf retry` has written off.
CREATE TABLE IF NOT EXISTS retries (
    record TEXT NOT NULL, step TEXT NOT NULL, attempts INTEGER NOT NULL, checksum INTEGER, PRIMARY KEY (record, step)
) WITHOUT ROWID;
"""

_OUTCOME = ("run", "seq", *(name for name in _FIRST["rows"] if name not in ("run", "seq")))


@cache
def insert(table: str, *, or_: str | None = None, given: bool = False) -> str:
    """Returns the SQL that inserts a row of a table with its checksum; its arguments are `COLUMNS` of the table.

    Args:
        or_: `IGNORE` or `REPLACE`: what happens if there is a row with the same primary key.
        given: the checksum is the last argument. Otherwise SQLite calls the function that computes it.
    """
    columns = COLUMNS[table]
    marks = [f"?{number}" for number in range(1, len(columns) + 1)]
    place = dict(zip(columns, marks, strict=True))
    conflict = f" OR {or_}" if or_ else ""
    sums = "?" if given else checksum_sql(table, place)
    # Columns by name: in an upgraded journal, a new one comes after the checksum.
    return f"INSERT{conflict} INTO {table} ({', '.join((*columns, 'checksum'))}) VALUES ({', '.join(marks)}, {sums})"


def checksum_sql(table: str, values: dict[str, str] | None = None, *, schema: str = "") -> str:
    """Returns the SQL expression for the checksum of a table's row.

    Args:
        values: SQL of columns that have other values than the row.
        schema: of an attached database, with a dot.
    """
    function, names = ("outcome_checksum", _OUTCOME) if table == "rows" else ("checksum", _FIRST[table])
    prefix = f"{schema}{table}." if schema else ""
    sql = {name: (values or {}).get(name, prefix + name) for name in (*names, *ADDED.get(table, ()))}
    first = f"{function}({', '.join(sql[name] for name in names)})"
    return " + ".join([first, *(f"added_checksum('{name}', {sql[name]})" for name in ADDED.get(table, ()))])
