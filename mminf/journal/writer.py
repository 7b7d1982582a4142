"""One thread that writes, many at once: what is queued while a commit is under way goes into the next."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import NamedTuple

from mminf.errors import JournalError, RecordError

log = logging.getLogger("mminf")
GATHER = 0.002
"""Seconds in which a group is gathered. Every wake of this thread takes the interpreter from the loop that feeds the
engines; a call waits for its commit, but its place in the engine is another record's by then."""
_REFUSALS = (UnicodeError, OverflowError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError)

Work = Callable[[sqlite3.Connection], None]


class _Item(NamedTuple):
    work: Work
    done: asyncio.Future[None] | None


class Writer:
    """Runs work on one connection, in order, grouped into commits.

    Args:
        connect: opens the connection, in the writer's own thread.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._queue: SimpleQueue[_Item | None] = SimpleQueue()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(connect,), name="mminf-journal", daemon=True)
        self._thread.start()

    def post(self, work: Work) -> None:
        """Queues work without waiting for it."""
        self._check()
        self._queue.put(_Item(work, None))

    async def commit(self, work: Work) -> None:
        """Queues work and returns once it is committed, so that a kill can't undo it."""
        self._check()
        done = asyncio.get_running_loop().create_future()
        self._queue.put(_Item(work, done))
        await done

    def close(self) -> None:
        """Commits what is queued and ends the thread."""
        self._queue.put(None)
        self._thread.join()
        self._check()

    def _check(self) -> None:
        if self._failure is not None:
            raise JournalError(f"the journal can't be written: {self._failure}") from self._failure

    def _run(self, connect: Callable[[], sqlite3.Connection]) -> None:
        try:
            connection = connect()
        except BaseException as error:  # handed to whoever waits, as below
            self._failure = error
            while (item := self._queue.get()) is not None:
                self._wake([item], {})
            return
        try:
            while True:
                group = self._take_group()
                last = group[-1] is None
                items = [item for item in group if item is not None]
                self._write(connection, items)
                if last:
                    return
        finally:
            connection.close()

    def _take_group(self) -> list[_Item | None]:
        group = [self._queue.get()]
        if group[0] is not None:
            time.sleep(GATHER)
        while group[-1] is not None and len(group) < 1024 and not self._queue.empty():
            group.append(self._queue.get())
        return group

    def _write(self, connection: sqlite3.Connection, items: list[_Item]) -> None:
        refused: dict[int, BaseException] = {}
        try:
            if items and self._failure is None:
                connection.execute("BEGIN IMMEDIATE")
                for number, item in enumerate(items):
                    try:
                        item.work(connection)
                    except _REFUSALS as error:  # this value can't be stored; the others can
                        log.error("the journal can't store a value: %s", error)
                        refused[number] = error
                connection.execute("COMMIT")
        except BaseException as error:  # handed to whoever waits; the thread must outlive it
            self._failure = error
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        self._wake(items, refused)

    def _wake(self, items: list[_Item], refused: dict[int, BaseException]) -> None:
        waiting = [
            (item.done, _error(refused.get(number), self._failure))
            for number, item in enumerate(items)
            if item.done is not None
        ]
        if waiting:
            # The futures of a run are all of one loop; one call wakes them all.
            with contextlib.suppress(RuntimeError):  # the loop is gone, and with it whoever waited
                waiting[0][0].get_loop().call_soon_threadsafe(_resolve, waiting)


def _resolve(waiting: list[tuple[asyncio.Future[None], BaseException | None]]) -> None:
    for done, failure in waiting:
        if done.done():
            continue
        if failure is None:
            done.set_result(None)
        else:
            done.set_exception(failure)


def _error(refused: BaseException | None, failure: BaseException | None) -> BaseException | None:
    """What a waiter is told: that its own value was refused, or that nothing can be written any more."""
    if failure is not None:
        stopped = JournalError(f"the journal can't be written: {failure}")
        stopped.__cause__ = failure
        return stopped
    return None if refused is None else RecordError(f"the journal can't store a value: {refused}")
