"""One writer per journal: a lock on a file next to it, which contains its holder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from mminf.errors import JournalError, LockedError, reason_of

LOCK_FILE = "journal.lock"
_LOCKS: set[int] = set()


def take_lock(folder: Path, *, shared: bool = False, name: Path | None = None) -> int:
    """Takes the lock of a folder's journal, and returns its file descriptor.

    Args:
        shared: for a shard, which reads this journal and writes its own; any number of shards can hold the lock.
        name: name of the folder in messages.

    Raises:
        JournalError: if another process holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise JournalError(f"{folder} can't be written to: {reason_of(error)}") from error
    try:
        fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(lock, 300).decode(errors="replace").strip() or "an unknown process"
        os.close(lock)
        raise LockedError(
            f"another run ({holder}) is writing to {name or folder}; wait for it, or choose another --output"
        ) from error
    os.ftruncate(lock, 0)
    os.write(lock, f"{'a shard, ' if shared else ''}process {os.getpid()} on {socket.gethostname()}".encode())
    _LOCKS.add(lock)
    return lock


@contextlib.contextmanager
def hold(folder: Path, *, shared: bool = False, name: Path | None = None) -> Iterator[None]:
    """Holds the lock of a folder's journal; see `take_lock`."""
    lock = take_lock(folder, shared=shared, name=name)
    try:
        yield
    finally:
        release_lock(lock)


def is_locked(folder: Path) -> bool:
    """Returns whether some process is writing the journal of a folder."""
    try:
        lock = os.open(folder / LOCK_FILE, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except OSError:
        return True
    finally:
        os.close(lock)


def _drop_locks() -> None:
    """Closes the locks in a forked process: an engine's process that outlives this one must not hold them."""
    while _LOCKS:
        os.close(_LOCKS.pop())


os.register_at_fork(after_in_child=_drop_locks)


def release_lock(lock: int) -> None:
    """Releases a lock."""
    _LOCKS.discard(lock)
    os.close(lock)
