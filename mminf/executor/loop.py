"""The event loop of a run: signals, and fewer garbage collections."""

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
from typing import Any, TypeVar

from mminf.engine.run import Run

log = logging.getLogger("mminf")
T = TypeVar("T")
Work = Callable[[Run], Coroutine[Any, Any, T]]
Watch = Callable[[], Callable[[], None]]


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


def run_in_loop(work: Work[T], run: Run, watch: Watch | None = None, patience: float = 0.0) -> T:
    """Works in a new event loop. The first Ctrl-C drains the run, the second one stops it; it can be resumed.

    Args:
        work: what to do, such as `Executor.work`; its exceptions are raised.
        watch: called at the start; returns a function that is called at the end (a progress display).
        patience: seconds after the first signal in which further signals are ignored, because launchers repeat it.
    """
    if not _runs_here():
        return _run(work, run, watch, patience)
    # A notebook runs a loop in this thread.
    with ThreadPoolExecutor(1, "mminf-run") as thread:
        return thread.submit(_run, work, run, watch, patience).result()


def _runs_here() -> bool:
    """Returns whether this thread runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run(work: Work[T], run: Run, watch: Watch | None, patience: float) -> T:
    loop = asyncio.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        _handle_signals(loop, run, patience)
        stop_watching = watch() if watch is not None else None
        try:
            with fewer_collections():
                return loop.run_until_complete(work(run))
        finally:
            if stop_watching is not None:
                stop_watching()
    finally:
        # Don't wait for the loop's threads: one may be loading a model that is no longer needed.
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        asyncio.set_event_loop(None)


def _handle_signals(loop: asyncio.AbstractEventLoop, run: Run, patience: float) -> None:
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
        elif time.monotonic() - first[0] > patience:
            log.warning("stopping now")
            run.session.stop()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # `nohup` makes a process ignore SIGHUP.
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, interrupt, number)
