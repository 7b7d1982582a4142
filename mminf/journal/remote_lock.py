"""The lock of an output in a store: an object that its holder changes periodically (a heartbeat).

Stores have no locks. A lock whose heartbeat does not change for `VOID_SECONDS` is void. This time is measured by the
local monotonic clock, because the clocks of two machines may differ by minutes.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mminf.errors import JournalError, LockedError
from mminf.journal.lock import LOCK_FILE

log = logging.getLogger("mminf")

RENEW_SECONDS, VOID_SECONDS = 10.0, 180.0
SETTLE_SECONDS = 1.0
"""Time after which a process that took the lock at the same moment must have written it as well."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The content of a lock.

    Attributes:
        token: identifies the process that holds the lock.
        beat: incremented at each renewal.
        at: seconds since the epoch by the holder's clock; only a hint.
    """

    host: str
    process: int
    token: str
    beat: int = 0
    at: float = 0.0

    @classmethod
    def parse(cls, text: str | None) -> Heartbeat | None:
        """Returns the heartbeat in the content of a lock; None if the content is not valid."""
        try:
            found = json.loads(text or "null")
            return cls(
                str(found["host"]), int(found["process"]), str(found["token"]), int(found.get("beat", 0)), found["at"]
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    def dump(self) -> str:
        """Returns the heartbeat as text."""
        return json.dumps(asdict(self))

    def is_dead(self) -> bool:
        """Returns whether the process of the lock ran on this machine and has ended."""
        return self.host == socket.gethostname() and not _is_alive(self.process)

    def is_alive(self) -> bool:
        """Returns whether the process of the lock runs on this machine and has renewed the lock recently."""
        return self.host == socket.gethostname() and _is_alive(self.process) and self.seems_fresh()

    def seems_fresh(self) -> bool:
        """Returns whether the lock was renewed recently, if the clocks of the two machines agree."""
        return -RENEW_SECONDS < time.time() - self.at < 2 * RENEW_SECONDS


class RemoteLock:
    """The lock of one folder.

    Args:
        folder: folder in the store, a `UPath`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / LOCK_FILE
        self._own = Heartbeat(socket.gethostname(), os.getpid(), "")
        self._over = threading.Event()
        self._lost: Heartbeat | None = None
        self._renewer: threading.Thread | None = None

    def take(self, on_lost: Callable[[], None] | None = None) -> None:
        """Takes the lock, and renews it until it is released.

        An existing lock is watched until it changes, or has not changed for `VOID_SECONDS`.

        Args:
            on_lost: called in another thread if another process takes the lock.

        Raises:
            LockedError: if another process holds it.
        """
        if (holder := _watch(self._path, VOID_SECONDS, on_wait=self._log_waiting)) is not None:
            raise LockedError(
                f"another run (process {holder.process} on {holder.host}) is writing to {self.folder}; wait for it, or "
                "choose another --output"
            )
        self._own = Heartbeat(socket.gethostname(), os.getpid(), secrets.token_hex(8))
        self._write()
        time.sleep(SETTLE_SECONDS)
        if not self._is_ours():
            raise LockedError(f"another run has started to write to {self.folder} at the same moment")
        self._lost = None
        self._over.clear()
        self._renewer = threading.Thread(target=self._renew, args=(on_lost,), name="mminf-lock", daemon=True)
        self._renewer.start()

    def check(self) -> None:
        """Raises JournalError if another process has taken the lock, because this one did not renew it in time."""
        if self._lost is not None:
            raise JournalError(
                f"process {self._lost.process} on {self._lost.host} has taken over {self.folder}, since this one could "
                "not renew its lock; this process no longer writes there"
            )

    def release(self) -> None:
        """Releases the lock, if this process still holds it."""
        self._over.set()
        if self._renewer is not None:
            self._renewer.join()  # or it would write the lock again
            self._renewer = None
        try:
            if self._is_ours():
                self._path.unlink()
        except Exception as error:  # any error of a store's client; the lock expires in any case
            log.debug("the lock of %s can't be removed: %s", self.folder, error)

    def __enter__(self) -> RemoteLock:
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _log_waiting(self, holder: Heartbeat) -> None:
        log.warning(
            "%s is locked by process %d on %s; watching for up to %.0f s whether it is alive",
            self.folder,
            holder.process,
            holder.host,
            VOID_SECONDS,
        )

    def _is_ours(self) -> bool:
        found = Heartbeat.parse(_read(self._path))
        return found is not None and found.token == self._own.token

    def _renew(self, on_lost: Callable[[], None] | None) -> None:
        while not self._over.wait(RENEW_SECONDS):
            try:
                found = Heartbeat.parse(_read(self._path))
                if found is None or found.token != self._own.token:
                    self._lost = found or self._own  # removed by a process that took it and has ended
                    log.warning("another process has taken over %s; this run ends", self.folder)
                    if on_lost is not None:
                        on_lost()
                    return
                self._write()
            except Exception as error:  # any error of a store's client; the next attempt may succeed
                log.warning("the lock of %s can't be renewed: %s: %s", self.folder, type(error).__name__, error)

    def _write(self) -> None:
        self._own = replace(self._own, beat=self._own.beat + 1, at=time.time())
        self._path.write_text(self._own.dump())


def is_held(folder: Path) -> bool:
    """Returns whether a process holds the lock of a folder in a store.

    A lock that does not seem fresh is watched for a heartbeat: it may be old, or the clocks differ.
    """
    found = Heartbeat.parse(_read(folder / LOCK_FILE))
    if found is None or found.is_dead():
        return False
    return found.seems_fresh() or _watch(folder / LOCK_FILE, 1.5 * RENEW_SECONDS) is not None


def _watch(path: Path, seconds: float, on_wait: Callable[[Heartbeat], None] | None = None) -> Heartbeat | None:
    """Returns the holder of a lock once its heartbeat has changed; None if it is free, or unchanged for that time."""
    first = found = Heartbeat.parse(_read(path))
    deadline = time.monotonic() + seconds
    while found is not None and not found.is_dead():
        if found != first or found.is_alive():
            return found
        if time.monotonic() > deadline:
            return None
        if on_wait is not None:
            on_wait(found)
            on_wait = None
        time.sleep(min(1.0, seconds / 20))
        found = Heartbeat.parse(_read(path))
    return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
