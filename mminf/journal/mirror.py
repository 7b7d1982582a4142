"""Journals of runs whose output is in a store (`s3://`, ...): written here, and sent there again and again.

SQLite needs a file system. So a run works on a journal of this machine; what stands in the store is its last
checkpoint, from which another machine goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import secrets
import shutil
import socket
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from mminf.errors import JournalError
from mminf.journal.merge import PARTS, part_folder
from mminf.journal.schema import FILE
from mminf.part import Part
from mminf.storage import fetch_file, send_file

log = logging.getLogger("mminf")
SECONDS = 60.0
"""Between two checkpoints; longer where one takes long."""
SHARE = 20  # a checkpoint takes at most a twentieth of the time
LOCK = "journal.lock"
SYNC = "journal.sync"


class Mirror:
    """Keeps the main journal of a run in a store.

    Args:
        target: the run's output, a `UPath`.
        folder: on this machine, for the journal; one that outlives the process, so that a killed run loses nothing.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.folder = _cache() / hashlib.blake2b(str(target).encode(), digest_size=8).hexdigest()
        self._token = ""

    @contextlib.asynccontextmanager
    async def lead(self) -> AsyncIterator[None]:
        """Holds the output's lock, with its journal here; sends it while it is written, and at the end.

        Raises:
            JournalError: if another run holds it, or the store can't be written.
        """
        await asyncio.to_thread(self.open)
        try:
            async with sending(self.folder, self.target, self._refresh):
                yield
        finally:
            await asyncio.to_thread(self.close)

    def __enter__(self) -> Mirror:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Takes the lock, and fetches the journal and those of parts, if the store has newer ones."""
        try:
            self._lock()
            self._pull()
        except (OSError, ValueError) as error:
            raise JournalError(f"output {self.target} can't be used: {error}") from error

    def close(self) -> None:
        """Sends the journal and gives the lock back."""
        self.push()
        with contextlib.suppress(OSError):
            (self.target / LOCK).unlink()

    def push(self) -> None:
        """Sends the journal. What a reader finds there is always whole."""
        push_journal(self.folder, self.target)

    def pull_parts(self) -> None:
        """Fetches the journals of parts that wait to be merged."""
        for part in list_parts(self.target):
            fetch_journal(self.target / PARTS / part.name, part_folder(self.folder, part))

    def remove_parts(self) -> None:
        """Removes the journals of parts from the store, once they are merged and the main journal is sent."""
        for part in list_parts(self.target):
            with contextlib.suppress(FileNotFoundError):
                (self.target / PARTS / part.name / FILE).unlink()

    def _pull(self) -> None:
        theirs, ours = _read(self.target / SYNC), _read(self.folder / SYNC)
        if theirs is None or theirs != ours:
            for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
                (self.folder / name).unlink(missing_ok=True)
            shutil.rmtree(self.folder / PARTS, ignore_errors=True)
            fetch_journal(self.target, self.folder)
        # From now on this machine's journal is ahead of what the store has, until another machine takes its turn.
        sync = secrets.token_hex(8)
        (self.folder / SYNC).write_text(sync)
        (self.target / SYNC).write_text(sync)
        self.pull_parts()

    def _lock(self) -> None:
        path = self.target / LOCK
        if (holder := _holder(self.target)) is not None:
            raise JournalError(
                f"another run (process {holder['process']} on {holder['host']}) is writing to {self.target}; wait "
                f"for it, or choose another --output; if it was killed, {path} is void after {3 * SECONDS:.0f} s"
            )
        self._token = secrets.token_hex(8)
        self._refresh()
        if _lock_token(_read(path)) != self._token:
            raise JournalError(f"another run has begun at the same moment to write to {self.target}")

    def _refresh(self) -> None:
        held = {"host": socket.gethostname(), "process": os.getpid(), "at": time.time(), "token": self._token}
        (self.target / LOCK).write_text(json.dumps(held))


@contextlib.asynccontextmanager
async def sending(folder: Path, target: Path, also: Any = None) -> AsyncIterator[None]:
    """Sends a journal again and again while it is written.

    Args:
        also: called each time.
    """
    task = asyncio.create_task(_send_on(folder, target, also))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _send_on(folder: Path, target: Path, also: Any) -> None:
    seconds, last = SECONDS, None
    while True:
        await asyncio.sleep(seconds)
        started = time.monotonic()
        try:
            if also is not None:
                await asyncio.to_thread(also)
            if (now := _state(folder)) != last:
                await asyncio.to_thread(push_journal, folder, target)
                last = now
        except OSError as error:  # the next one may get through
            log.warning("the checkpoint of %s can't be sent: %s", target, error)
        seconds = max(SECONDS, SHARE * (time.monotonic() - started))


def push_journal(folder: Path, target: Path) -> None:
    """Sends what is committed of a journal; it may be written meanwhile. Raises OSError."""
    if not (folder / FILE).is_file():
        return
    with tempfile.TemporaryDirectory(prefix="mminf-") as name:
        copy = Path(name) / FILE
        with (
            contextlib.closing(sqlite3.connect(folder / FILE)) as source,
            contextlib.closing(sqlite3.connect(copy)) as to,
        ):
            source.backup(to, pages=4096, sleep=0.001)
        send_file(copy, target / FILE)


def fetch_journal(target: Path, folder: Path) -> bool:
    """Fetches a journal into a folder, unless it has one. Returns whether there is one now. Raises OSError."""
    if (folder / FILE).is_file():
        return True
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{FILE}.{os.getpid()}.part"
    try:
        fetch_file(target / FILE, part)
    except FileNotFoundError:
        part.unlink(missing_ok=True)
        return False
    part.rename(folder / FILE)
    return True


def list_parts(target: Path) -> list[Part]:
    """Returns the parts whose journals wait in an output folder, here or in a store, to be merged."""
    folder = target / PARTS
    if not folder.exists():
        return []
    found = [Part.of_name(path.name) for path in folder.iterdir() if (path / FILE).exists()]
    return sorted((part for part in found if part is not None), key=lambda part: part.name)


@contextlib.contextmanager
def copied(target: Path) -> Iterator[Path]:
    """Yields a folder with copies of a run's journals, for reading. Raises JournalError if the store can't be read."""
    with tempfile.TemporaryDirectory(prefix="mminf-") as name:
        folder = Path(name)
        try:
            fetch_journal(target, folder)
            for part in list_parts(target):
                fetch_journal(target / PARTS / part.name, part_folder(folder, part))
        except (OSError, ValueError) as error:
            raise JournalError(f"{target} can't be read: {error}") from error
        yield folder


def is_held(target: Path) -> bool:
    """Tells whether a run is writing to an output in a store."""
    return _holder(target) is not None


def _holder(target: Path) -> dict[str, Any] | None:
    text = _read(target / LOCK)
    if text is None:
        return None
    holder: dict[str, Any] = json.loads(text)
    dead = holder["host"] == socket.gethostname() and not _lives(holder["process"])
    return None if dead or time.time() - holder["at"] > 3 * SECONDS else holder


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mminf" / "runs"


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def _lock_token(text: str | None) -> str | None:
    return None if text is None else str(json.loads(text)["token"])


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _state(folder: Path) -> tuple[Any, ...]:
    files = [folder / FILE, folder / f"{FILE}-wal"]
    return tuple((path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.is_file())
