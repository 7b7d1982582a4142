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
import threading
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
RENEW_SECONDS, VOID_SECONDS = 30.0, 180.0  # of the lock
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
        self._pulled: list[Part] = []
        self._lock = StoreLock(target)

    @contextlib.asynccontextmanager
    async def lead(self) -> AsyncIterator[None]:
        """Holds the output's lock, with its journal here; sends it while it is written, and at the end.

        Raises:
            JournalError: if another run holds it, or the store can't be written.
        """
        await asyncio.to_thread(self.open)
        try:
            async with sending(self.folder, self.target):
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
            self._lock.take()
            self._pull()
        except JournalError:
            raise
        except Exception as error:  # whatever a store's client raises
            self._lock.release()
            raise JournalError(f"output {self.target} can't be used: {type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Sends the journal and gives the lock back. Raises JournalError if it can't be sent."""
        try:
            self.push()
        finally:
            self._lock.release()

    def push(self) -> None:
        """Sends the journal; what a reader finds there is always whole. Raises JournalError if it can't be sent."""
        try:
            push_journal(self.folder, self.target)
        except Exception as error:  # whatever a store's client raises
            raise JournalError(
                f"the journal can't be sent to {self.target} ({type(error).__name__}: {error}); it lies in "
                f"{self.folder}, and the same command on this machine goes on from there"
            ) from error

    def pull_parts(self) -> None:
        """Fetches the journals of parts that wait to be merged; those that were fetched before may be old."""
        shutil.rmtree(self.folder / PARTS, ignore_errors=True)
        self._pulled = list_parts(self.target)
        for part in self._pulled:
            fetch_journal(self.target / PARTS / part.name, part_folder(self.folder, part))

    def remove_parts(self) -> None:
        """Removes the journals of the parts that were fetched, once they are merged and the main journal is sent."""
        for part in self._pulled:
            with contextlib.suppress(FileNotFoundError):
                (self.target / PARTS / part.name / FILE).unlink()
        self._pulled = []

    def _pull(self) -> None:
        theirs, ours = _read(self.target / SYNC), _read(self.folder / SYNC)
        if theirs is None or theirs not in (ours or "").split():
            for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
                (self.folder / name).unlink(missing_ok=True)
            shutil.rmtree(self.folder / PARTS, ignore_errors=True)
            fetch_journal(self.target, self.folder)
        # From now on this machine's journal is ahead of what the store has, until another machine takes its turn.
        sync = secrets.token_hex(8)
        (self.folder / SYNC).write_text(f"{theirs or ''} {sync}")  # both, as long as only one of them may be there
        (self.target / SYNC).write_text(sync)
        (self.folder / SYNC).write_text(sync)
        self.pull_parts()


class StoreLock:
    """A lock on an output in a store: an object that its holder renews, and that is void when it is old.

    Args:
        folder: in the store, a `UPath`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._token = ""
        self._over = threading.Event()

    def take(self) -> None:
        """Takes the lock, and renews it until it is released. Raises JournalError if another process holds it."""
        path = self.folder / LOCK
        if (holder := _holder(self.folder)) is not None:
            raise JournalError(
                f"another run (process {holder['process']} on {holder['host']}) is writing to {self.folder}; wait "
                f"for it, or choose another --output; if it was killed, {path} is void after {VOID_SECONDS:.0f} s"
            )
        self._token = secrets.token_hex(8)
        self._write()
        if (_parse(_read(path)) or {}).get("token") != self._token:
            raise JournalError(f"another run has begun at the same moment to write to {self.folder}")
        self._over.clear()
        threading.Thread(target=self._renew, name="mminf-lock", daemon=True).start()

    def release(self) -> None:
        """Gives the lock back, if it is still this process's."""
        self._over.set()
        path = self.folder / LOCK
        with contextlib.suppress(Exception):  # it is void soon in any case
            if (_parse(_read(path)) or {}).get("token") == self._token:
                path.unlink()

    def __enter__(self) -> StoreLock:
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _renew(self) -> None:
        while not self._over.wait(RENEW_SECONDS):
            try:
                self._write()
            except Exception as error:  # whatever a store's client raises; the next one may get through
                log.warning("the lock of %s can't be renewed: %s: %s", self.folder, type(error).__name__, error)

    def _write(self) -> None:
        held = {"host": socket.gethostname(), "process": os.getpid(), "at": time.time(), "token": self._token}
        (self.folder / LOCK).write_text(json.dumps(held))


@contextlib.asynccontextmanager
async def sending(folder: Path, target: Path) -> AsyncIterator[None]:
    """Sends a journal again and again while it is written."""
    over = threading.Event()
    thread = threading.Thread(target=_send_on, args=(folder, target, over), name="mminf-checkpoint", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        # One that is under way must be through before the last one is sent, or it would arrive after it.
        await asyncio.to_thread(thread.join)


def _send_on(folder: Path, target: Path, over: threading.Event) -> None:
    seconds, last = SECONDS, None
    while not over.wait(seconds):
        started = time.monotonic()
        try:
            if (now := _state(folder)) != last:
                push_journal(folder, target)
                last = now
        except Exception as error:  # whatever a store's client raises; the next one may get through
            log.warning("the checkpoint of %s can't be sent: %s: %s", target, type(error).__name__, error)
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
            source.backup(to)  # in one step, a snapshot: in several, each commit meanwhile would begin it again
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
    holder = _parse(_read(target / LOCK))
    if holder is None or not {"host", "process", "at"} <= holder.keys():
        return None  # not one of ours
    dead = holder["host"] == socket.gethostname() and not _lives(holder["process"])
    return None if dead or time.time() - holder["at"] > VOID_SECONDS else holder


def _parse(text: str | None) -> dict[str, Any] | None:
    try:
        found = json.loads(text or "null")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mminf" / "runs"


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


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
