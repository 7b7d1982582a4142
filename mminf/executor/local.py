"""Runs a recipe in this process."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from mminf.engine.result import RunResult
from mminf.engine.run import Run
from mminf.engine.work import work
from mminf.journal import Journal
from mminf.sharding.merge import merge_shards

log = logging.getLogger("mminf")
T = TypeVar("T")


async def run_whole(run: Run) -> RunResult:
    """Runs a recipe in this process, resuming what the journal contains.

    Raises:
        EngineError, JournalError, SourceError: if it can't continue; progress is saved.
    """
    async with run.workspace.lead():
        if merge_shards(run.workspace.folder):
            await run.workspace.push(merged=True)
        with Journal(run.workspace.folder, write=True, locked=True) as journal:
            run.begin(journal)
            await journal.flush()
            await run.workspace.push()  # so that `status` finds it
            worked = await work(run, journal, run.plan.stages)
            return await run.end(journal, worked.state)


def end_children(seconds: float = 3.0) -> None:
    """Ends all descendants of this process, including the processes of engines."""
    import psutil

    children = psutil.Process().children(recursive=True)
    for child in children:
        with contextlib.suppress(psutil.Error):
            child.terminate()
    _, alive = psutil.wait_procs(children, timeout=seconds)
    for child in alive:
        with contextlib.suppress(psutil.Error):
            child.kill()


_YOUNG = 20_000
"""Objects that are allocated between two collections; Python's default is 700."""


@contextlib.contextmanager
def fewer_collections() -> Iterator[None]:
    """Lets the garbage collector run less often, and ignore what exists already, such as imported modules.

    A run keeps thousands of calls in flight, whose objects are freed without the collector. With Python's default it
    takes a tenth of the CPU time. Docs: Python, `gc.freeze` and `gc.set_threshold`.
    """
    before = gc.get_threshold()
    if before[0] >= _YOUNG:  # set by the user, or by another run of this process, which restores it
        yield
        return
    gc.freeze()
    gc.set_threshold(_YOUNG, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


class LocalExecutor(Generic[T]):
    """Executes a run in a new event loop. The first Ctrl-C drains, the second one stops; the run can be resumed.

    Args:
        work: processes the run: `run_whole`, or the work of a shard, of a rank or of the driver of Ray.
        watch: called once with the run; returns a function that is called at the end (a progress display).
        patience: seconds after the first signal in which further signals are ignored, because launchers repeat it.
    """

    def __init__(
        self,
        work: Callable[[Run], Coroutine[Any, Any, T]],
        watch: Callable[[Run], Callable[[], None]] | None = None,
        patience: float = 0.0,
    ) -> None:
        self.work = work
        self.watch = watch
        self.patience = patience

    def execute(self, run: Run) -> T:
        """Executes a run, and returns the result of `work`. Raises the exceptions of `work`."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._execute(run)
        # A notebook runs a loop in this thread.
        with ThreadPoolExecutor(1, "mminf-run") as thread:
            return thread.submit(self._execute, run).result()

    def _execute(self, run: Run) -> T:
        loop = asyncio.new_event_loop()
        try:
            asyncio.set_event_loop(loop)
            self._handle_signals(loop, run)
            stop_watching = self.watch(run) if self.watch is not None else None
            try:
                with fewer_collections():
                    return loop.run_until_complete(self.work(run))
            finally:
                if stop_watching is not None:
                    stop_watching()
        finally:
            # Don't wait for the loop's threads: one may be loading a model that is no longer needed.
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
            asyncio.set_event_loop(None)

    def _handle_signals(self, loop: asyncio.AbstractEventLoop, run: Run) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        first: list[float] = []

        def interrupt(number: int) -> None:
            if not first:
                first.append(time.monotonic())
                name = signal.Signals(number).name
                why = "press Ctrl-C again to stop now" if number == signal.SIGINT else f"received {name}"
                log.warning("finishing the calls in flight; %s", why)
                run.session.drain()
            elif time.monotonic() - first[0] > self.patience:
                log.warning("stopping now")
                run.session.stop()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # `nohup` makes a process ignore SIGHUP.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, interrupt, number)
