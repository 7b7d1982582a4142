"""One writer a journal: a lock on a file beside it, which says who holds it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from mminf.errors import JournalError

FILE = "journal.lock"
_LOCKS: set[int] = set()


def take_lock(folder: Path) -> int:
    """Returns the lock of a folder's journal. Raises JournalError if another process holds it."""
    path = folder / FILE
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise JournalError(
            f"another run (process {holder}) is writing to {folder}; wait for it, or choose another --output"
        ) from error
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    _LOCKS.add(lock)
    return lock


def is_locked(folder: Path) -> bool:
    """Returns whether some process is writing the journal of a folder."""
    try:
        lock = os.open(folder / FILE, os.O_RDONLY)
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
    """A forked engine process that outlives us must not hold our lock."""
    while _LOCKS:
        os.close(_LOCKS.pop())


os.register_at_fork(after_in_child=_drop_locks)


def release_lock(lock: int) -> None:
    """Gives a lock back."""
    _LOCKS.discard(lock)
    os.close(lock)
