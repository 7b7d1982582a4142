"""Journals of runs whose output is in a store (`s3://`, ...): written locally, and sent to the store periodically.

SQLite needs a file system. Therefore a run writes a local journal. The store has its last checkpoint, from which
another machine can resume.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import secrets
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from mminf.errors import JournalError, reason_of
from mminf.journal.folders import list_shards, shard_folder
from mminf.journal.remote_lock import RemoteLock
from mminf.journal.schema import FILE, LOG, SHARDS
from mminf.shard import Shard
from mminf.storage import fetch_file, send_file

log = logging.getLogger("mminf")
SECONDS = 60.0
"""Minimum time between two checkpoints; more if a checkpoint takes long."""
SHARE = 20  # checkpoints take at most a twentieth of the time
SYNC = "journal.sync"
_UNSENT = "journal.unsent"
"""Exists while the local journal may have rows that the store does not have."""


class Mirror:
    """Keeps the main journal of a run in a store.

    Args:
        target: the run's output, a `UPath`.
        folder: attribute; local folder of the journal. It outlives the process, so that a killed run loses nothing.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.folder = _cache() / hashlib.blake2b(str(target).encode(), digest_size=8).hexdigest()
        self._pulled: dict[Shard, tuple[int, float]] = {}
        self._lock = RemoteLock(target)
        self._pushing = threading.Lock()

    @contextlib.asynccontextmanager
    async def lead(self, on_lost: Callable[[], None]) -> AsyncIterator[None]:
        """Holds the lock of the output, with a local copy of its journal, which is sent periodically and at the end.

        Args:
            on_lost: called in this event loop if another process takes the lock, so that the run can end.

        Raises:
            JournalError: if another run holds it, or the store can't be written.
        """
        await asyncio.to_thread(self.open, _in_loop(on_lost))
        try:
            async with sending(self.folder, self.push):
                yield
        finally:
            await asyncio.to_thread(self.close)

    def __enter__(self) -> Mirror:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, on_lost: Callable[[], None] | None = None) -> None:
        """Takes the lock, and fetches the journals of the run and of its shards, if those in the store are newer."""
        try:
            self._lock.take(on_lost)
        except JournalError:
            raise
        except Exception as error:  # any error of a store's client
            raise self._unusable(error) from error
        try:
            self._pull()
        except JournalError:
            self._lock.release()
            raise
        except Exception as error:
            self._lock.release()
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> JournalError:
        return JournalError(f"output {self.target} can't be used: {type(error).__name__}: {error}")

    def check(self) -> None:
        """Raises JournalError if another process has taken the lock."""
        self._lock.check()

    def close(self) -> None:
        """Sends the journal and releases the lock. Raises JournalError if the journal can't be sent."""
        try:
            self.push()
            (self.folder / _UNSENT).unlink(missing_ok=True)
        finally:
            self._lock.release()

    def push(self) -> None:
        """Sends the journal; readers always find a complete file. Raises JournalError if it can't be sent."""
        self._lock.check()
        try:
            with self._pushing:  # an older snapshot must not arrive after a newer one
                push_journal(self.folder, self.target)
        except Exception as error:  # any error of a store's client
            raise JournalError(
                f"the journal can't be sent to {self.target} ({type(error).__name__}: {error}); it is in "
                f"{self.folder}; run the same command on this machine to resume"
            ) from error

    def pull_shards(self) -> None:
        """Fetches the journals of shards that are not merged yet, and replaces local copies, which may be old."""
        shutil.rmtree(self.folder / SHARDS, ignore_errors=True)
        self._pulled = {shard: _version(shard_folder(self.target, shard)) for shard in list_shards(self.target)}
        for shard in self._pulled:
            fetch_journal(shard_folder(self.target, shard), shard_folder(self.folder, shard))

    def remove_shards(self) -> None:
        """Removes the journals of the shards that were fetched, once they are merged and the main journal is sent."""
        for shard, version in self._pulled.items():
            folder = shard_folder(self.target, shard)
            with contextlib.suppress(FileNotFoundError):
                if _version(folder) == version:  # a journal that was sent since then is merged next time
                    for name in (FILE, LOG, f"{LOG}.1"):
                        (folder / name).unlink(missing_ok=True)
        self._pulled = {}

    def _pull(self) -> None:
        theirs, ours = _read(self.target / SYNC), _read(self.folder / SYNC)
        if theirs is None or theirs not in (ours or "").split():
            self._set_aside()
            for name in (FILE, f"{FILE}-wal", f"{FILE}-shm", LOG, f"{LOG}.1"):
                (self.folder / name).unlink(missing_ok=True)
            shutil.rmtree(self.folder / SHARDS, ignore_errors=True)
            fetch_journal(self.target, self.folder, log=True)
        # From now on, the local journal is newer than that in the store, until another machine takes the lock.
        sync = secrets.token_hex(8)
        (self.folder / SYNC).write_text(f"{theirs or ''} {sync}")  # both, because either may be in the store now
        (self.target / SYNC).write_text(sync)
        (self.folder / SYNC).write_text(sync)
        (self.folder / _UNSENT).touch()
        self.pull_shards()

    def _set_aside(self) -> None:
        """Keeps a journal that was never sent, because another machine has taken over the output: it has answers."""
        if not (self.folder / _UNSENT).exists() or not (self.folder / FILE).is_file():
            return
        kept = _cache().parent / "unsent" / f"{self.folder.name}-{secrets.token_hex(4)}"
        kept.mkdir(parents=True)
        for name in (FILE, f"{FILE}-wal"):
            if (self.folder / name).exists():
                shutil.move(self.folder / name, kept / name)
        log.warning("another machine has written %s; the journal that was not sent is in %s", self.target, kept)


def _in_loop(function: Callable[[], None]) -> Callable[[], None]:
    """Returns a function that other threads can call, to call the given one in this event loop."""
    loop = asyncio.get_running_loop()

    def call() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(function)

    return call


@contextlib.asynccontextmanager
async def sending(folder: Path, push: Callable[[], None]) -> AsyncIterator[None]:
    """Sends a journal periodically while it is written.

    Args:
        folder: folder of the journal.
        push: sends the journal.
    """
    over = threading.Event()
    thread = threading.Thread(target=_send_on, args=(folder, push, over), name="mminf-checkpoint", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        # A transfer in progress must end before the last one starts, or it would arrive after it.
        await asyncio.to_thread(thread.join)


def _send_on(folder: Path, push: Callable[[], None], over: threading.Event) -> None:
    seconds, last = SECONDS, None
    while not over.wait(seconds):
        started = time.monotonic()
        try:
            if (now := _state(folder)) != last:
                push()
                last = now
        except Exception as error:  # any error of a store's client; the next attempt may succeed
            log.warning("a checkpoint of the journal can't be sent: %s: %s", type(error).__name__, error)
        seconds = max(SECONDS, SHARE * (time.monotonic() - started))


def push_journal(folder: Path, target: Path) -> None:
    """Sends the committed content of a journal, which may be written at the same time. Raises OSError."""
    if not (folder / FILE).is_file():
        return
    with tempfile.TemporaryDirectory(prefix="mminf-") as name:
        copy = Path(name) / FILE
        with (
            contextlib.closing(sqlite3.connect(folder / FILE)) as source,
            contextlib.closing(sqlite3.connect(copy)) as to,
        ):
            source.backup(to)  # in one step: with several steps, each commit would restart the backup
        send_file(copy, target / FILE)
    for path in (folder / LOG, folder / f"{LOG}.1"):
        if path.is_file():
            with contextlib.suppress(FileNotFoundError):  # it was renamed just now, because it became too large
                send_file(path, target / path.name)


def fetch_journal(target: Path, folder: Path, *, log: bool = False) -> bool:
    """Fetches a journal into a folder, unless it has one. Returns whether there is one now. Raises OSError.

    Args:
        log: fetch the log of the run as well, to which the caller will add.
    """
    if (folder / FILE).is_file():
        return True
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{FILE}.{os.getpid()}.part"
    try:
        fetch_file(target / FILE, partial)
    except FileNotFoundError:
        partial.unlink(missing_ok=True)
        return False
    partial.rename(folder / FILE)
    for name in (LOG, f"{LOG}.1") if log else ():
        with contextlib.suppress(OSError):
            fetch_file(target / name, folder / name)
    return True


@contextlib.contextmanager
def copied(target: Path) -> Iterator[Path]:
    """Yields a folder with copies of a run's journals, for reading. Raises JournalError if the store can't be read."""
    with tempfile.TemporaryDirectory(prefix="mminf-") as name:
        folder = Path(name)
        try:
            fetch_journal(target, folder)
            for shard in list_shards(target):
                fetch_journal(shard_folder(target, shard), shard_folder(folder, shard))
        except (OSError, ValueError) as error:
            raise JournalError(f"{target} can't be read: {reason_of(error)}") from error
        yield folder


class ShardMirror:
    """Keeps the journal of a shard in a store, under the shard's lock there.

    Args:
        store: folder of the shard in the store, a `UPath`.
        folder: local folder of its journal.
    """

    def __init__(self, store: Path, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._lock = RemoteLock(store)

    @contextlib.asynccontextmanager
    async def lead(self, on_lost: Callable[[], None]) -> AsyncIterator[None]:
        """Holds the lock of the shard, with a local copy of its journal, which is sent periodically and at the end.

        Args:
            on_lost: as for `Mirror.lead`.

        Raises:
            LockedError: if another process works on the shard.
            JournalError: if the journal can't be sent at the end; a copy is stored on this machine.
        """
        await asyncio.to_thread(self._lock.take, _in_loop(on_lost))
        try:
            await asyncio.to_thread(fetch_journal, self._store, self._folder, log=True)
            async with sending(self._folder, self._push):
                yield
        finally:
            try:
                await asyncio.to_thread(self._push_last)
            finally:
                await asyncio.to_thread(self._lock.release)

    def _push(self) -> None:
        self._lock.check()
        push_journal(self._folder, self._store)

    def _push_last(self) -> None:
        try:
            self._push()
        except Exception as error:  # any error of a store's client
            kept = _cache().parent / "unsent" / f"{self._folder.name}-{secrets.token_hex(4)}"
            shutil.copytree(self._folder, kept)
            what = f"the journal of a shard can't be sent to {self._store} ({type(error).__name__}: {error})"
            raise JournalError(f"{what}; to resume from it, copy {kept / FILE} there") from error


def _version(folder: Path) -> tuple[int, float]:
    """Returns size and modification time of a journal in a store, which change when it is replaced."""
    stat = (folder / FILE).stat()
    return stat.st_size, stat.st_mtime


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mminf" / "runs"


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def _state(folder: Path) -> tuple[tuple[int, int], ...]:
    files = [folder / FILE, folder / f"{FILE}-wal"]
    return tuple((path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.is_file())
