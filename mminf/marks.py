"""Marks of records: good or bad, and a note, in a JSON Lines file next to the journal.

`mminf view` appends a line per change, and the last line of a record counts. The journal has one writer, so the marks
are not part of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from mminf.errors import UsageError, reason_of, shorten_text
from mminf.record import Record, digest
from mminf.storage import open_bytes

FILE = "marks.jsonl"
VALUES = ("good", "bad")
log = logging.getLogger("mminf")
FIELDS = frozenset({"mark", "note"})
"""The fields that a record gets from its mark."""
LONGEST_NOTE = 10_000
"""Maximum number of characters of a note."""


class Mark(NamedTuple):
    """The mark of a record.

    Attributes:
        mark: `good`, `bad`, or None for a note alone.
        note: empty if there is none.
        time: when it was made, ISO 8601 in UTC; empty if unknown.
    """

    mark: str | None
    note: str = ""
    time: str = ""


def read_marks(path: Path, problems: list[str] | None = None) -> dict[str, Mark]:
    """Returns the marks of a file by the ids of records; empty if there is no such file and `problems` is given.

    Args:
        path: a local file, or an object in a store.
        problems: gets a message per broken line, which is then left out.

    Raises:
        UsageError: if the file can't be read, or a line is broken and `problems` is None; the message names the line.
    """
    found: dict[str, Mark] = {}
    try:
        with open_bytes(path) as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    record, mark = _parse(line)
                except ValueError as error:
                    message = f"{path}:{number}: not a mark: {error}"
                    if problems is None:
                        raise UsageError(f"{message}; correct or remove this line") from error
                    problems.append(message)
                    continue
                found.pop(record, None)
                if mark.mark is not None or mark.note:
                    found[record] = mark
    except FileNotFoundError as error:
        if problems is None:
            raise UsageError(f"the file with marks {path} does not exist") from error
    except OSError as error:
        message = f"the file with marks {path} can't be read: {reason_of(error)}"
        if problems is None:
            raise UsageError(message) from error
        problems.append(message)
    return found


def _parse(line: bytes) -> tuple[str, Mark]:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {shorten_text(str(error), 120)}") from error
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    record, mark, note, time = row.get("id"), row.get("mark"), row.get("note"), row.get("time")
    if not isinstance(record, str) or not record:
        raise ValueError("`id` must be the id of a record")
    if mark is not None and mark not in VALUES:
        raise ValueError(f"`mark` must be {', '.join(VALUES)} or null, not {shorten_text(repr(mark), 40)}")
    if note is not None and not isinstance(note, str):
        raise ValueError("`note` must be a text")
    return record, Mark(mark, note or "", time if isinstance(time, str) else "")


def marks_digest(found: Mapping[str, Mark]) -> str:
    """Returns a digest that changes if the mark or the note of a record changes."""
    return digest({record: [mark.mark, mark.note] for record, mark in found.items()})


def mark_fields(mark: Mark | None) -> dict[str, str | None]:
    """Returns the fields of a record with a mark; null for one without."""
    return {"mark": mark.mark if mark else None, "note": (mark.note or None) if mark else None}


class MarkColumns:
    """Adds the fields `mark` and `note` to records: those of the record, or of the source record that it came from.

    A record without a mark gets null, unless it has these fields already.

    Args:
        marks: marks by the ids of records.
    """

    def __init__(self, marks: Mapping[str, Mark]) -> None:
        self._marks = marks
        self._used: set[str] = set()
        self._replaced: str | None = None

    def add_to(self, record: Record) -> Record:
        """Returns a record with the two fields."""
        name = next((name for name in (record.id, record.origin) if name in self._marks), None)
        if name is None:
            return replace(record, fields={**dict.fromkeys(sorted(FIELDS)), **record.fields})
        self._used.add(name)
        new = mark_fields(self._marks[name])
        if self._replaced is None and any(record.get(key) not in (None, new[key]) for key in FIELDS):
            self._replaced = record.id
        return replace(record, fields={**record.fields, **new})

    def warn(self) -> None:
        """Logs which marks were of no record, and that fields of records were replaced."""
        if left := self._marks.keys() - self._used:
            example = shorten_text(min(left), 80)
            log.warning(
                "%d of %d marks are of ids that no dataset contains, such as %r", len(left), len(self._marks), example
            )
        if self._replaced is not None:
            log.warning("the marks replace the fields mark and note of records, such as %r", self._replaced)


_SAME = "\0same"
"""Stands for a part of a mark that is not changed."""


class MarkFile:
    """The file with marks in an output folder; several processes can add marks at the same time.

    Args:
        path: the file, which need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._marks: dict[str, Mark] = {}
        self._problems: list[str] = []

    def read(self) -> tuple[dict[str, Mark], list[str]]:
        """Returns the marks, and what is wrong with lines that are left out; a file that has changed is read again."""
        with self._lock:
            stamp = self._stamp()
            if stamp is None or stamp != self._seen:
                self._problems = []
                self._marks = read_marks(self.path, self._problems)
                self._seen = stamp
            return self._marks, self._problems

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def change(self, record: str, *, mark: str | None = _SAME, note: str | None = _SAME) -> Mark:
        """Changes the mark of a record, its note, or both; without a mark and a note, it is removed.

        What is not given stays as it is in the file, where another process may have changed it.

        Raises:
            ValueError: if the mark is unknown or the note is too long.
            OSError: if the file can't be written; it is unchanged then.
        """
        if mark is not None and mark is not _SAME and mark not in VALUES:
            raise ValueError(f"a mark is {', '.join(VALUES)} or null")
        if len(note or "") > LONGEST_NOTE:
            raise ValueError(f"a note has at most {LONGEST_NOTE:,} characters")
        with self._open() as file:
            before = self.read()[0].get(record, Mark(None))
            made = Mark(
                before.mark if mark is _SAME else mark,
                before.note if note is _SAME else (note or ""),
                datetime.now(UTC).isoformat(timespec="seconds"),
            )
            line = json.dumps({"id": record, **made._asdict()}, ensure_ascii=False) + "\n"
            _append(file, line.encode("utf-8", "replace"))
        return made

    @contextlib.contextmanager
    def _open(self) -> Iterator[int]:
        # Not through a link: the folder of a run may belong to someone else.
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)


def _append(file: int, line: bytes) -> None:
    """Appends a line as a whole or not at all."""
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        line = b"\n" + line  # an editor, or a power failure, has left a last line without an end
    try:
        written = 0
        while written < len(line):
            written += os.write(file, line[written:])
        os.fsync(file)
    except OSError:
        os.ftruncate(file, size)
        raise
