"""The journal of a run: opened by one writer, readable by anyone meanwhile."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mminf.errors import JournalError, shorten_text
from mminf.image import DigestCache, ImageStat
from mminf.journal.codec import BELOW, below, below_path, clean, deflate, inflate, path_numbers, path_text
from mminf.journal.lock import release_lock, take_lock
from mminf.journal.merge import FrozenJournal
from mminf.journal.row import Call, Place, Row, Waiting, row_of
from mminf.journal.schema import (
    FILE,
    HAS_REASONING,
    TABLES,
    TOKENS,
    TOTALS,
    VERSION,
    check_tables,
    connect,
    open_reading,
    totals_of,
)
from mminf.journal.writer import Work, Writer
from mminf.limits import REASON_CHARACTERS
from mminf.record import Record, to_json
from mminf.redact import redact
from mminf.request import Generation

_TOUCHED = "INSERT INTO touched VALUES (?, ?, ?, ?, ?, ?)"


class Journal(DigestCache):
    """The memo and the outcomes of a run.

    Args:
        folder: the run's output folder.
        write: take the writer's lock; without it the journal can only be read.
        locked: the caller holds the lock already.
        base: output folder of the run that this journal is a part of: what its journal knows, this one knows.

    Raises:
        JournalError: if another process writes it, it isn't there to read, or another version of mminf made it.
    """

    def __init__(self, folder: Path, *, write: bool = False, locked: bool = False, base: Path | None = None) -> None:
        self.folder = folder
        self.path = folder / FILE
        self._lock: int | None = None
        self._writer: Writer | None = None
        self.base: FrozenJournal | None = None
        self._open = contextlib.ExitStack()
        if write:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = None if locked else take_lock(folder)
        elif not self.path.is_file():
            raise JournalError(f"no run in {folder}: {self.path} is not there; start one with `mminf run`")
        try:
            if write:
                with connect(self.path) as connection:
                    connection.executescript(TABLES)
                self._reader = connect(self.path)
                self._open.callback(self._reader.close)
            else:
                self._reader = self._open.enter_context(open_reading(self.path))
            check_tables(self._reader, self.path)
            self._check_version(write)
            self.base = FrozenJournal(base) if base is not None else None
        except sqlite3.DatabaseError as error:
            self._release()
            raise JournalError(f"{self.path} is no journal, or is damaged: {error}") from error
        except JournalError:
            self._release()
            raise
        self.run = int(self.meta("run") or 0)
        self.since = self._first_run_that_counts()
        if write:
            self._writer = Writer(self.path, lambda: connect(self.path))
        self._prompts: dict[str, tuple[int, bytes]] = {}
        self._next_prompt = int(self._one("SELECT coalesce(max(id), 0) FROM prompts")[0])
        self._has_memo = bool(self._one("SELECT 1 FROM memo LIMIT 1"))
        self._has_rows = bool(self._one("SELECT 1 FROM rows LIMIT 1"))
        self._has_images = bool(self._one("SELECT 1 FROM images LIMIT 1"))
        self._has_reasoning = bool(self._one(HAS_REASONING)) and bool(self._one("SELECT 1 FROM reasoning LIMIT 1"))

    def close(self) -> None:
        """Commits everything and gives the lock back."""
        try:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
        finally:
            if self.base is not None:
                self.base.close()
            self._release()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def writer(self) -> Writer:
        """The writing thread. Raises JournalError if the journal was opened for reading."""
        if self._writer is None:
            raise JournalError("the journal was opened for reading")
        return self._writer

    def begin_run(self) -> int:
        """Starts a new run: rows that it does not touch are no longer part of the result. Returns its number."""
        self.run += 1
        self.since = self.run
        self.writer.post(lambda c: _execute(c, "DELETE FROM parked"))
        self.set_meta("run", str(self.run))
        self.set_meta("since", str(self.since))
        return self.run

    def end_run(self) -> None:
        """Says that the run came to its end: from now on, what it did not touch is gone."""
        self.set_meta("finished_run", str(self.run))
        self.set_meta("finished_recipe", self.meta("recipe_digest") or "")

    def _first_run_that_counts(self) -> int:
        """An unfinished run is seen on top of the last finished one of the same recipe: it is only not there yet."""
        finished = int(self.meta("finished_run") or 0)
        same = not finished or self.meta("finished_recipe") == self.meta("recipe_digest")
        return finished if same else self.run

    # Settings of the run

    def meta(self, key: str) -> str | None:
        """Returns a setting that `set_meta` wrote."""
        row = self._one("SELECT value FROM meta WHERE key = ?", key)
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        self.writer.post(lambda c: _execute(c, "INSERT OR REPLACE INTO meta VALUES (?, ?)", key, value))

    def keep_tokens(self, model: str, tokens: frozenset[str]) -> None:
        """Keeps a model's special tokens."""
        self.set_meta(f"{TOKENS}{model}", json.dumps(sorted(tokens)))

    def kept_tokens(self) -> frozenset[str]:
        """Returns the special tokens of all models that the run has asked."""
        rows = self._reader.execute("SELECT value FROM meta WHERE substr(key, 1, ?) = ?", (len(TOKENS), TOKENS))
        return frozenset(token for row in rows for token in json.loads(row[0]))

    # The memo

    def recall(self, key: bytes) -> Generation | None:
        """Returns the answer to a call that was made before."""
        sql = (
            "SELECT text, finish_reason, prompt_tokens, completion_tokens, logprobs, choice_logprobs "
            "FROM memo WHERE key = ?"
        )
        # Calls of one run never repeat, so a new journal needn't be asked.
        row = self._one(sql, key) if self._has_memo else None
        if row is None and self.base is not None and self.base.has_memo:
            row = self.base.one(sql, key)
        if row is None:
            return None
        logprobs, choices = (None if text is None else tuple(json.loads(text)) for text in row[4:])
        return Generation(row[0], row[1], row[2], row[3], logprobs, choices, reasoning=self._reasoning(key))

    def _reasoning(self, key: bytes) -> str | None:
        sql = "SELECT text FROM reasoning WHERE key = ?"
        row = self._one(sql, key) if self._has_reasoning else None
        if row is None and self.base is not None and self.base.has_reasoning:
            row = self.base.one(sql, key)
        return None if row is None else str(row[0])

    async def remember(self, call: Call) -> None:
        """Writes an answered call; returns once it is committed."""
        prompt_id, dictionary = self._prompts.get(call.step, (None, b""))
        answer = call.generation

        def work(connection: sqlite3.Connection) -> None:
            _execute(
                connection,
                "INSERT OR IGNORE INTO memo VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                call.key,
                call.step,
                call.record,
                call.attempt,
                call.sample,
                clean(answer.text),
                answer.finish_reason,
                None if answer.logprobs is None else json.dumps(answer.logprobs),
                None if answer.choice_logprobs is None else json.dumps(answer.choice_logprobs),
                answer.prompt_tokens,
                answer.completion_tokens,
                call.seconds,
                self.run,
                prompt_id,
                deflate(call.chat, dictionary),
            )
            if answer.reasoning is not None:
                values = (call.key, clean(answer.reasoning))
                _execute(connection, "INSERT OR REPLACE INTO reasoning VALUES (?, ?)", *values)
            if answer.vector is not None:
                _execute(connection, "INSERT OR REPLACE INTO vectors VALUES (?, ?)", call.key, answer.vector)

        self._has_reasoning = self._has_reasoning or answer.reasoning is not None
        await self.writer.commit(work)

    def vector(self, key: str) -> bytes | None:
        """Returns an embedding by its key in hex, as `Context.embed` gave it; None if there is none."""
        try:
            row = self._own_or_base("SELECT vector FROM vectors WHERE key = ?", bytes.fromhex(key))
        except ValueError:
            return None
        return None if row is None else bytes(row[0])

    def knows_prompt(self, step: str) -> bool:
        """Returns whether this run has shown the journal a prompt of the step."""
        return step in self._prompts

    def show_prompt(self, step: str, chat: bytes, sent: str | None, tokens: int | None) -> None:
        """Keeps the first prompt of a step; the chats of its later calls are deflated against it.

        Called again for the same chat, it adds the text that the model was sent.
        """
        if step not in self._prompts:
            self._next_prompt += 1
            self._prompts[step] = (self._next_prompt, chat)
        number = self._prompts[step][0]
        values = (number, step, chat, clean(sent), tokens)
        self.writer.post(lambda c: _execute(c, "INSERT OR REPLACE INTO prompts VALUES (?, ?, ?, ?, ?)", *values))

    def calls(self, record: str) -> list[dict[str, Any]]:
        """Returns the calls of a record and its children, in the order in which steps and attempts went."""
        cursor = self._reader.execute(
            "SELECT m.step, m.record, m.attempt, m.sample, m.text, m.finish_reason, m.prompt_tokens, "
            "m.completion_tokens, m.seconds, m.run, CAST(p.chat AS BLOB) AS chat, m.prompt, m.key "
            "FROM memo m LEFT JOIN prompts p ON p.id = m.prompt_id WHERE m.record = ? OR substr(m.record, 1, ?) = ? "
            "ORDER BY m.record, m.run, m.step, m.attempt, m.sample",
            (record, len(record) + 1, record + "/"),
        )
        names = [column[0] for column in cursor.description]
        found = []
        for row in cursor:
            call = dict(zip(names, row, strict=True))
            chat, prompt = call.pop("chat"), call.pop("prompt")
            call["reasoning"] = self._reasoning(call.pop("key"))
            call["chat"] = json.loads(inflate(prompt, chat or b"")) if prompt is not None else None
            found.append(call)
        return found

    def prompts(self) -> list[dict[str, Any]]:
        """Returns the newest kept prompt of each step: step, sent, tokens."""
        rows = self._reader.execute("SELECT step, sent, tokens, max(id) FROM prompts GROUP BY step ORDER BY step")
        return [{"step": row[0], "sent": row[1], "tokens": row[2]} for row in rows]

    # Outcomes

    def finished(self, stage: int, record: Record, key: str) -> bool:
        """Returns whether the record and all its children are final in this stage, for this key."""
        if not self._has_rows and not self._base_has_rows:
            return False
        sql = "SELECT key FROM rows WHERE stage = ? AND root = ? AND path = ?"
        place = (stage, record.origin, path_text(record.path))
        row = self._one(sql, *place)
        if row is None and self.base is not None and self.base.has_rows and not self._is_forgotten(stage, record):
            row = self.base.one(sql, *place)
        return row is not None and row[0] == key

    async def write_rows(self, rows: list[Row]) -> None:
        """Writes outcomes; returns once they are committed."""
        values = [
            (
                row.stage,
                clean(row.id),
                clean(row.root),
                row.seq,
                path_text(row.path),
                self.run,
                row.key,
                row.state,
                row.step,
                clean(row.reason and shorten_text(redact(row.reason), REASON_CHARACTERS.value)),
                clean(to_json(row.fields)),
            )
            for row in rows
        ]
        await self.writer.commit(
            lambda c: _many(c, "INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        )

    def keep_rows(self, stage: int, record: Record) -> None:
        """Takes the rows of a finished record over into this run."""
        sql = f"UPDATE rows SET run = ?, seq = ? WHERE {BELOW}"  # noqa: S608
        self.writer.post(lambda c: _execute(c, sql, self.run, record.seq, *below(stage, record)))
        if self._base_has_rows:
            # What this journal has computed anew itself stays forgotten in the base.
            touched = f"{_TOUCHED} ON CONFLICT DO UPDATE SET run = excluded.run, seq = excluded.seq WHERE kept = 1"
            self.writer.post(lambda c: _execute(c, touched, *self._touch(stage, record, kept=1)))

    def forget_rows(self, stage: int, record: Record) -> None:
        """Removes the rows of a record that is computed again; children may be fewer this time."""
        if self._has_rows:
            sql = f"DELETE FROM rows WHERE {BELOW}"  # noqa: S608
            self.writer.post(lambda c: _execute(c, sql, *below(stage, record)))
        if self._base_has_rows:
            touched = f"{_TOUCHED} ON CONFLICT DO UPDATE SET kept = 0"
            self.writer.post(lambda c: _execute(c, touched, *self._touch(stage, record, kept=0)))

    def _touch(self, stage: int, record: Record, *, kept: int) -> tuple[Any, ...]:
        return (stage, record.origin, path_text(record.path), record.seq, kept, self.run)

    def count_done(self, stage: int, record: Record) -> int:
        """Returns how many records a finished record became: itself, or those below it."""
        sql = f"SELECT count(*) FROM rows WHERE {BELOW} AND state = 'done'"  # noqa: S608
        own = "SELECT 1 FROM rows WHERE stage = ? AND root = ? AND path = ?"
        if self.base is None or self._one(own, stage, record.origin, path_text(record.path)) is not None:
            return int(self._one(sql, *below(stage, record))[0])
        return int((self.base.one(sql, *below(stage, record)) or [0])[0])

    def has_done(self, stage: int) -> bool:
        """Tells whether a record has ever come to the end of a stage."""
        sql = "SELECT 1 FROM rows WHERE stage = ? AND state = 'done' LIMIT 1"
        return self._own_or_base(sql, stage) is not None

    def count_before(self, stage: int, seq: int) -> int:
        """Returns how many records of this run a stage has accepted that come from before a place in the source."""
        sql = "SELECT count(*) FROM rows WHERE stage = ? AND run >= ? AND state = 'done' AND seq < ?"
        return int(self._one(sql, stage, self.since, seq)[0])

    def last_of(self, stage: int, number: int) -> Place | None:
        """Returns seq and path of a stage's accepted record of that number, counted from 1 in source order."""
        sql = "SELECT seq, path FROM rows WHERE stage = ? AND run >= ? AND state = 'done' ORDER BY seq, path LIMIT 1 "
        row = self._one(f"{sql} OFFSET ?", stage, self.since, number - 1)
        return None if row is None else (row[0], path_numbers(row[1]))

    # Records that wait for an engine

    async def park(self, stage: int, waiting: Waiting) -> None:
        """Keeps a record that can't go on now; returns once it is committed."""
        record = waiting.record
        self._has_memo = True  # steps that ended the record's way are taken again, and must find their answers
        values = (
            stage,
            record.seq,
            path_text(record.path),
            clean(record.origin),
            clean(record.id),
            # ASCII, so that a lone surrogate comes back as it was.
            json.dumps(record.fields),
            json.dumps(waiting.tree),
            waiting.key,
        )
        sql = "INSERT OR REPLACE INTO parked VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        await self.writer.commit(lambda c: _execute(c, sql, *values))

    def parked(self, stage: int) -> Iterator[Waiting]:
        """Takes out the parked records of a stage, in source order; those parked again meanwhile are not seen."""
        sql = (
            "SELECT seq, path, root, id, fields, tree, key FROM parked "
            "WHERE stage = ? AND (seq, path, root) > (?, ?, ?) ORDER BY seq, path, root LIMIT 256"
        )
        gone = "DELETE FROM parked WHERE stage = ? AND seq = ? AND path = ? AND root = ?"
        last: tuple[Any, ...] = (-1, "", "")
        while page := self._reader.execute(sql, (stage, *last)).fetchall():
            for seq, path, root, record, fields, tree, key in page:
                last = (seq, path, root)
                self.writer.post(_delete(gone, stage, *last))
                numbers = path_numbers(path)
                found = Record(record, json.loads(fields), seq, numbers, root if numbers else "")
                yield Waiting(found, json.loads(tree), key)

    async def flush(self) -> None:
        """Returns once everything queued so far is committed."""
        await self.writer.commit(lambda _: None)

    def rows(self, stage: int, *, states: tuple[str, ...] = ("done",), step: str | None = None) -> Iterator[Row]:
        """Yields this run's rows of a stage in source order, streamed."""
        marks = ",".join("?" * len(states))
        sql = f"SELECT * FROM rows WHERE stage = ? AND run >= ? AND state IN ({marks})"  # noqa: S608
        arguments: list[Any] = [stage, self.since, *states]
        if step is not None:
            sql += " AND step = ?"
            arguments.append(step)
        # A connection of its own: rows may be iterated in another thread and while others are read.
        with open_reading(self.path) as connection:
            for row in connection.execute(sql + " ORDER BY seq, path", arguments):
                yield row_of(row)

    def find(self, record: str) -> list[Row]:
        """Returns the rows of a record and its children, in all stages."""
        rows = self._reader.execute(
            "SELECT * FROM rows WHERE id = ? OR substr(id, 1, ?) = ? ORDER BY stage, seq, path",
            (record, len(record) + 1, record + "/"),
        )
        return [row_of(row) for row in rows]

    def ids_like(self, part: str, limit: int = 5) -> list[str]:
        """Returns some ids that contain a text."""
        rows = self._reader.execute("SELECT DISTINCT id FROM rows WHERE instr(id, ?) > 0 LIMIT ?", (part, limit))
        return [row[0] for row in rows]

    def counts(self, last: Place | None = None) -> list[tuple[int, str, str | None, int]]:
        """Returns (stage, state, step, number of records) of this run, up to a place in the source."""
        sql = "SELECT stage, state, step, count(*) FROM rows WHERE run >= ?"
        arguments: list[Any] = [self.since]
        if last is not None:
            sql += " AND (seq, path) <= (?, ?)"
            arguments += [last[0], path_text(last[1])]
        found = list(self._reader.execute(f"{sql} GROUP BY stage, state, step", arguments))
        return [*found, *self._counts_kept()]

    def _counts_kept(self) -> Iterator[tuple[int, str, str | None, int]]:
        """What this journal, a part's, has taken over from the main one."""
        if self.base is None:
            return
        kept: Counter[tuple[int, str, str | None]] = Counter()
        touched = self._reader.execute(
            "SELECT stage, root, path FROM touched WHERE kept = 1 AND run >= ?", (self.since,)
        )
        sql = f"SELECT state, step FROM rows WHERE {BELOW}"  # noqa: S608
        for stage, root, path in touched:
            for state, step in self.base.all(sql, *below_path(stage, root, path)):
                kept[stage, state, step] += 1
        for (stage, state, step), number in kept.items():
            yield stage, state, step, number

    def settled_roots(self) -> int:
        """Returns how many source records are final, with all their children.

        A part's journal counts those of the first stage only: in later ones the main journal has them already.
        """
        sql = "SELECT count(*) FROM rows WHERE run >= ? AND stage = ? AND path = ''"
        if self.base is None:
            first = self._one("SELECT min(stage) FROM rows WHERE run >= ?", self.since)[0]
            return int(self._one(sql, self.since, first)[0])
        kept = "SELECT count(*) FROM touched WHERE run >= ? AND stage = ? AND path = '' AND kept = 1"
        return int(self._one(sql, self.since, 0)[0]) + int(self._one(kept, self.since, 0)[0])

    def failures(self, limit: int) -> list[tuple[str, str | None, str | None]]:
        """Returns (id, step, reason) of failed records of this run, the first in source order."""
        sql = "SELECT id, step, reason FROM rows WHERE run >= ? AND state = 'failed' ORDER BY stage, seq, path LIMIT ?"
        return list(self._reader.execute(sql, (self.since, limit)))

    def all_failures(self) -> Iterator[tuple[str, str | None, str | None]]:
        """Yields the same of all that failed, streamed."""
        sql = "SELECT id, step, reason FROM rows WHERE run >= ? AND state = 'failed' ORDER BY stage, seq, path"
        return iter(self._reader.execute(sql, (self.since,)))

    def totals(self) -> dict[str, dict[str, float]]:
        """Returns per step: calls, prompt_tokens, completion_tokens, seconds."""
        return totals_of(self._reader.execute(TOTALS))

    # Retries

    def retries(self) -> dict[tuple[str, str], int]:
        """Returns for each retried (record, step) how many attempts were written off."""
        sql = "SELECT record, step, attempts FROM retries"
        rows = [*(self.base.all(sql) if self.base is not None else ()), *self._reader.execute(sql)]
        return {(record, step): attempts for record, step, attempts in rows}

    def failed(self, *, step: str | None, ids: list[str]) -> list[tuple[str, str]]:
        """Returns (id, step) of the failed records of this run.

        Args:
            step: only records that failed in this step.
            ids: only these records; all where it is empty.
        """
        found = self._reader.execute(
            "SELECT id, step FROM rows WHERE run >= ? AND state = 'failed' AND (? IS NULL OR step = ?)",
            (self.since, step, step),
        )
        return [(record, at) for record, at in found if not ids or _named(record, ids)]

    def write_off(self, marked: list[tuple[str, str, int]]) -> None:
        """Writes off attempts, so that the next run asks with new seeds.

        Args:
            marked: (id, step, how many attempts).
        """
        sql = (
            "INSERT INTO retries VALUES (?, ?, ?) "
            "ON CONFLICT (record, step) DO UPDATE SET attempts = attempts + excluded.attempts"
        )
        self.writer.post(lambda c: _many(c, sql, marked))

    # Digests of images (DigestCache)

    def get(self, stat: ImageStat) -> str | None:
        if not self._has_images and (self.base is None or not self.base.has_images):
            return None
        sql = "SELECT digest FROM images WHERE uri = ? AND size = ? AND mtime_ns = ?"
        row = self._own_or_base(sql, clean(stat.uri), stat.size, stat.mtime_ns)
        return None if row is None else str(row[0])

    def put(self, stat: ImageStat, digest: str) -> None:
        values = (clean(stat.uri), stat.size, stat.mtime_ns, digest)
        self.writer.post(lambda c: _execute(c, "INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?)", *values))

    def _one(self, sql: str, *arguments: Any) -> Any:
        return self._reader.execute(sql, arguments).fetchone()

    def _is_forgotten(self, stage: int, record: Record) -> bool:
        """Tells whether what the base has of a record is gone: this journal, a part's, has begun to compute it anew."""
        sql = "SELECT 1 FROM touched WHERE stage = ? AND root = ? AND path = ? AND kept = 0"
        return self._one(sql, stage, record.origin, path_text(record.path)) is not None

    def _own_or_base(self, sql: str, *arguments: Any) -> Any:
        row = self._one(sql, *arguments)
        return self.base.one(sql, *arguments) if row is None and self.base is not None else row

    @property
    def _base_has_rows(self) -> bool:
        return self.base is not None and self.base.has_rows

    def _check_version(self, write: bool) -> None:
        found = self.meta("version")
        if found is None and write:
            with self._reader as connection:
                connection.execute("INSERT INTO meta VALUES ('version', ?)", (str(VERSION),))
                connection.execute("COMMIT") if connection.in_transaction else None
        elif found != str(VERSION):
            raise JournalError(
                f"{self.path} has journal version {found}, this mminf writes version {VERSION}; "
                "use the mminf that made it, or another output folder"
            )

    def _release(self) -> None:
        self._open.close()
        if self._lock is not None:
            release_lock(self._lock)
            self._lock = None


def _named(record: str, ids: list[str]) -> bool:
    return any(record == name or record.startswith(f"{name}/") for name in ids)


def _execute(connection: sqlite3.Connection, sql: str, *arguments: Any) -> None:
    connection.execute(sql, arguments)


def _delete(sql: str, *arguments: Any) -> Work:
    return lambda connection: _execute(connection, sql, *arguments)


def _many(connection: sqlite3.Connection, sql: str, rows: list[tuple[Any, ...]]) -> None:
    connection.executemany(sql, rows)
