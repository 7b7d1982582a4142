"""The thread that writes a journal: statements that are queued during a commit are part of the next commit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from mminf.errors import JournalError, RecordError
from mminf.journal.checksum import SqlValue

log = logging.getLogger("mminf")
GATHER = 0.002
"""Seconds in which statements are collected for a commit. Each wake-up of this thread takes the interpreter lock from
the event loop. A call waits for its commit, but the engine works on other calls in the meantime."""
MOST = 1024
_REFUSALS = (UnicodeError, OverflowError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError)


class Statement(NamedTuple):
    """SQL and its arguments, or a function that returns them: it is called in the writing thread."""

    sql: str
    arguments: tuple[SqlValue, ...] | Callable[[], tuple[SqlValue, ...]] = ()


Work = Sequence[Statement]
"""Statements that are committed together."""


def write_error(path: Path, error: BaseException) -> JournalError:
    """Returns the error of a journal that can't be written."""
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return damaged(path, error)
    return JournalError(
        f"{path} can't be written: {error}. Progress is saved: free some space or fix the folder, then run the "
        "same command to resume"
    )


def damaged(path: Path, error: object) -> JournalError:
    """Returns the error of a journal that can't be read."""
    return JournalError(
        f"{path} is damaged, or not a journal: {error}; `mminf repair {path.parent}` saves what can be read"
    )


class _Committed(asyncio.Future[None]):
    """A future that all tasks share that wait for a commit. The cancellation of one task must not cancel it."""

    def cancel(self, msg: object = None) -> bool:
        return False  # the cancelled task gets CancelledError after the commit


class _Group:
    """The statements of one commit."""

    __slots__ = ("done", "refused", "works")

    def __init__(self) -> None:
        self.works: list[Work] = []
        self.refused: dict[int, BaseException] = {}
        self.done: _Committed | None = None


class Writer:
    """Executes statements on one connection, in order, grouped into commits.

    Args:
        path: path of the journal, for messages.
        connect: opens the connection, in the writer's own thread.
    """

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self._path = path
        self._queue: SimpleQueue[_Group | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._gathering: _Group | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(connect,), name="mminf-journal", daemon=True)
        self._thread.start()

    def post(self, work: Work) -> None:
        """Queues statements without waiting for them."""
        self._check()
        with self._lock:
            self._add(work)

    async def commit(self, work: Work) -> None:
        """Queues statements and returns once they are committed, so that a kill can't undo them.

        Raises:
            JournalError: if the journal can't be written.
            RecordError: if SQLite can't store one of the values.
        """
        self._check()
        with self._lock:
            group = self._add(work)
            number = len(group.works) - 1
            if group.done is None:
                group.done = _Committed(loop=asyncio.get_running_loop())
        await group.done
        self._check()
        if (error := group.refused.get(number)) is not None:
            raise RecordError(f"the journal can't store a value: {error}") from error

    def _add(self, work: Work) -> _Group:
        group = self._gathering
        if group is None:
            group = self._gathering = _Group()
            self._queue.put(group)
        group.works.append(work)
        if len(group.works) == MOST:
            self._gathering = None
        return group

    def close(self) -> None:
        """Commits what is queued and ends the thread."""
        self._queue.put(None)
        self._thread.join()
        self._check()

    def _check(self) -> None:
        if self._failure is not None:
            raise write_error(self._path, self._failure) from self._failure

    def _run(self, connect: Callable[[], sqlite3.Connection]) -> None:
        try:
            connection = connect()
        except BaseException as error:  # raised in the tasks that wait, as below
            self._failure = error
            while (group := self._queue.get()) is not None:
                self._wake(self._close(group))
            return
        try:
            while (group := self._queue.get()) is not None:
                time.sleep(GATHER)
                self._write(connection, self._close(group))
        finally:
            connection.close()

    def _close(self, group: _Group) -> _Group:
        """Closes a group: later statements are added to another group."""
        with self._lock:
            if self._gathering is group:
                self._gathering = None
        return group

    def _write(self, connection: sqlite3.Connection, group: _Group) -> None:
        try:
            if self._failure is None:
                connection.execute("BEGIN IMMEDIATE")
                for number, work in enumerate(group.works):
                    try:
                        _execute(connection, work)
                    except _REFUSALS as error:  # this value can't be stored; the others can
                        log.error("the journal can't store a value: %s", error)
                        group.refused[number] = error
                connection.execute("COMMIT")
        except BaseException as error:  # raised in the waiting tasks; the thread must continue
            self._failure = error
            with contextlib.suppress(sqlite3.Error):  # the thread must go on to wake the tasks that wait
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        self._wake(group)

    @staticmethod
    def _wake(group: _Group) -> None:
        if group.done is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and its tasks with it
                group.done.get_loop().call_soon_threadsafe(group.done.set_result, None)


def _execute(connection: sqlite3.Connection, work: Work) -> None:
    """Executes statements. If SQLite refuses a value of one of them, none has an effect."""
    if len(work) > 1:
        connection.execute("SAVEPOINT work")
    try:
        for sql, arguments in work:
            connection.execute(sql, arguments() if callable(arguments) else arguments)
    except _REFUSALS:
        if len(work) > 1:
            connection.execute("ROLLBACK TO work")
            connection.execute("RELEASE work")
        raise
    if len(work) > 1:
        connection.execute("RELEASE work")
