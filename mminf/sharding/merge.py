"""Merges the journals of shards into the main one.

Each shard is merged in one transaction, which also notes the merge. Its folder is removed after that. So a merge that
is killed at any moment continues with the same command.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import sqlite3
import time
from pathlib import Path

from mminf.engine.run_log import copy_log
from mminf.errors import JournalError
from mminf.journal import Journal
from mminf.journal.codec import BELOW, below_path
from mminf.journal.connection import check_tables, connect, create_tables, has_tables
from mminf.journal.database import reading
from mminf.journal.folders import shard_folders
from mminf.journal.lock import hold
from mminf.journal.meta import ADDED, merged_key
from mminf.journal.outcomes import KEEP
from mminf.journal.schema import COLUMNS, FILE, SHARDS, checksum_sql, insert
from mminf.journal.writer import damaged
from mminf.shard import Shard
from mminf.sharding.phase import Phase, ShardProgress
from mminf.states import RunState

log = logging.getLogger("mminf")
_MERGED = ".merged-"
"""Prefix of the folders of shards that were merged."""
_CHECKED = ("memo", "reasoning", "vectors", "prompts", "rows", "touched", "images", "meta")


def freeze(folder: Path, seconds: float = 60.0) -> None:
    """Moves all committed rows from the write-ahead log to the journal's file, by a checkpoint.

    Raises:
        JournalError: if a reader prevents the checkpoint, or the file is damaged.
    """
    path = folder / FILE
    with reading(path), contextlib.closing(connect(path)) as connection:
        deadline = time.monotonic() + seconds
        while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if time.monotonic() > deadline:
                raise JournalError(f"another process is reading {path}; stop it, then run the same command again")
            time.sleep(0.1)


def settle_main(output: Path, seconds: float = 5.0) -> None:
    """Freezes the main journal after a killed run. If several shards start together, the first one does it."""
    log = output / f"{FILE}-wal"
    deadline = time.monotonic() + seconds
    while log.is_file() and log.stat().st_size:
        try:
            with hold(output):
                freeze(output)
        except JournalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def read_progress(output: Path) -> dict[Shard, ShardProgress]:
    """Returns the progress of a run's shards: those that are not merged yet, and those that were merged in this phase.

    Args:
        output: folder of the main journal, whose lock the caller holds.
    """
    found: dict[Shard, ShardProgress] = {}
    if (output / FILE).is_file() and _has_run(output / FILE):
        with Journal(output) as journal:
            for name, note in journal.meta.merged().items():
                if (shard := Shard.from_name(name)) is not None:
                    found[shard] = ShardProgress.load(note)
    for shard, folder in shard_folders(output).items():
        with Journal(folder) as own:
            meta = own.meta
            progress = ShardProgress(meta.state or RunState.FAILED, meta.phase, meta.digest or "", meta.position)
        found[shard] = progress  # if a shard was run again after its merge, its new progress counts
    return found


def _has_run(path: Path) -> bool:
    with reading(path), contextlib.closing(connect(path)) as connection:
        return has_tables(connection)


def merge_shards(output: Path) -> int:
    """Merges and removes the journals of all shards in an output folder. Returns the number of shards.

    Args:
        output: folder of the main journal, whose lock the caller holds.

    Raises:
        JournalError: if a journal is still being written, or is damaged.
    """
    found = shard_folders(output)
    with contextlib.ExitStack() as locks:
        # Lock all shards before the first merge: an active shard reads the main journal as a frozen file.
        for folder in found.values():
            locks.enter_context(hold(folder))
        if found:
            progress = read_progress(output)
        for shard, folder in found.items():
            merge_shard(output, folder, shard, progress[shard])
            copy_log(folder, f"shard {shard}")
        for folder in found.values():
            # A folder that is only partly removed must not look like that of a shard.
            shutil.rmtree(folder.with_name(f"{_MERGED}{folder.name}"), ignore_errors=True)
            folder.rename(folder.with_name(f"{_MERGED}{folder.name}"))
    for folder in (output / SHARDS).glob(f"{_MERGED}*"):
        shutil.rmtree(folder)
    with contextlib.suppress(OSError):  # not there, or something else is in it
        (output / SHARDS).rmdir()
    return len(found)


def merge_shard(output: Path, folder: Path, shard: Shard, progress: ShardProgress) -> None:
    """Merges a shard's journal into the main one, in one transaction; may be repeated.

    Its rows become part of the main journal's last run, if they belong to that run. Otherwise they are not part of the
    result, but the next run can resume from them, if the main journal has no rows of the same source record.

    Args:
        output: folder of the main journal, whose lock the caller holds.
        folder: folder of the shard's journal, which no process writes.
        progress: progress of the shard, which is stored in the main journal.
    """
    path = folder / FILE
    with reading(path):
        create_tables(output / FILE)
        create_tables(path)  # upgrades a journal of an earlier version
        with contextlib.closing(connect(output / FILE)) as connection:
            connection.execute("ATTACH ? AS shard", (str(path),))
            check_tables(connection, path, "shard")
            _check_rows(connection, path)
            connection.execute("BEGIN IMMEDIATE")
            _merge(connection, shard, progress)
            connection.execute("COMMIT")


def _check_rows(connection: sqlite3.Connection, path: Path) -> None:
    """Raises JournalError if a shard's journal is damaged: its rows would get valid checksums in the main journal."""
    if (found := connection.execute("PRAGMA shard.integrity_check").fetchone()[0]) != "ok":
        raise damaged(path, found)
    for table in _CHECKED:
        wrong = f"shard.{table}.checksum IS NOT {checksum_sql(table, schema='shard.')}"
        if connection.execute(f"SELECT 1 FROM shard.{table} WHERE {wrong} LIMIT 1").fetchone() is not None:  # noqa: S608
            raise damaged(path, f"the checksum of a row in table {table!r} is wrong")


def _merge(connection: sqlite3.Connection, shard: Shard, progress: ShardProgress) -> None:
    run = int(_meta(connection, "main", "run") or 0)
    _copy_calls(connection, run)
    if _same_run(connection, progress, run):
        if _meta(connection, "main", merged_key(shard.name)) is None:
            _tell_repeated(connection, run, shard)
        _copy_rows(connection, run)
        note = progress.dump()
        connection.execute(insert("meta", or_="REPLACE"), (merged_key(shard.name), note))
    else:
        _offer_rows(connection)


def _meta(connection: sqlite3.Connection, schema: str, key: str) -> str | None:
    row = connection.execute(f"SELECT value FROM {schema}.meta WHERE key = ?", (key,)).fetchone()  # noqa: S608
    return None if row is None else str(row[0])


def _same_run(connection: sqlite3.Connection, progress: ShardProgress, run: int) -> bool:
    """Returns whether a shard belongs to the main journal's last run and phase, and has the same recipe."""
    phase = Phase.load(progress.phase)
    if progress.phase != _meta(connection, "main", "phase"):
        return False
    recipes = {_meta(connection, schema, "recipe_digest") for schema in ("main", "shard")}
    return phase is not None and phase.run == run and len(recipes) == 1


def _copy(connection: sqlite3.Connection, table: str, *, conflict: str, where: str = "", **changed: str | int) -> None:
    """Copies rows of a shard's table into the main one.

    Args:
        changed: SQL, or a number, for columns that get other values.
    """
    values = {name: str(value) for name, value in changed.items()}
    columns = [values.get(name, f"s.{name}") for name in COLUMNS[table]]
    sums = checksum_sql(table, dict(zip(COLUMNS[table], columns, strict=True)))
    names = ", ".join(COLUMNS[table])
    selected = f"SELECT {', '.join(columns)}, {sums} FROM shard.{table} s {where}"  # noqa: S608
    connection.execute(f"INSERT OR {conflict} INTO main.{table} ({names}, checksum) {selected}")


def _copy_calls(connection: sqlite3.Connection, run: int) -> None:
    offset = connection.execute("SELECT coalesce(max(id), 0) FROM main.prompts").fetchone()[0]
    new = "WHERE EXISTS (SELECT 1 FROM shard.memo m WHERE NOT EXISTS (SELECT 1 FROM main.memo WHERE key = m.key))"
    _copy(connection, "prompts", conflict="IGNORE", where=f"{new} ORDER BY id", id=f"s.id + {int(offset)}")
    _copy(connection, "memo", conflict="IGNORE", run=run, prompt_id=f"s.prompt_id + {int(offset)}")
    _copy(connection, "vectors", conflict="IGNORE")
    _copy(connection, "reasoning", conflict="IGNORE")
    for prefix in ADDED:
        _copy(connection, "meta", conflict="REPLACE", where=f"WHERE substr(key, 1, {len(prefix)}) = '{prefix}'")
    _copy(connection, "images", conflict="REPLACE")


def _tell_repeated(connection: sqlite3.Connection, run: int, shard: Shard) -> None:
    """Logs that a shard has other source records with the ids of records of earlier shards, which it replaces."""
    since = int(_meta(connection, "shard", "since") or 0)
    repeated = (
        "FROM shard.rows s JOIN main.rows m ON m.stage = s.stage AND m.root = s.root AND m.path = s.path "
        "WHERE s.path = '' AND s.run >= ? AND m.run = ? AND m.seq != s.seq"
    )
    count, example = connection.execute(
        f"SELECT count(DISTINCT s.root), min(s.root) {repeated}", (since, run)
    ).fetchone()
    if count:
        log.warning(
            "shard %s has ids of records of earlier shards (%d, such as %s), which its records replace: the source "
            "must give all rows with one id to one shard",
            *(shard, count, example),
        )


def _copy_rows(connection: sqlite3.Connection, run: int) -> None:
    since = int(_meta(connection, "shard", "since") or 0)
    touched = "SELECT stage, root, path, seq FROM shard.touched WHERE kept = ? AND run >= ?"
    keep = KEEP.replace("UPDATE rows", "UPDATE main.rows")
    for stage, root, path, seq in connection.execute(touched, (1, since)):
        connection.execute(keep, (run, seq, *below_path(stage, root, path)))
    for stage, root, path, _ in connection.execute(touched, (0, 0)):
        connection.execute(f"DELETE FROM main.rows WHERE {BELOW}", below_path(stage, root, path))  # noqa: S608
    _copy(connection, "rows", conflict="REPLACE", where=f"WHERE run >= {since}", run=run)
    _offer_rows(connection)  # records that the shard's last run has not reached yet


def _offer_rows(connection: sqlite3.Connection) -> None:
    absent = "WHERE NOT EXISTS (SELECT 1 FROM main.rows m WHERE m.stage = s.stage AND m.root = s.root)"
    _copy(connection, "rows", conflict="IGNORE", where=absent, run=0)
