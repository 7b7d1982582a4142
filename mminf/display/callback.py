"""Calls a function of the user with the progress of a run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from mminf.display.progress import repeat
from mminf.display.table import engines_of, eta
from mminf.engine.stats import RunStats

log = logging.getLogger("mminf")
SECONDS = 1.0


class RunProgress(NamedTuple):
    """The progress of a run.

    Attributes:
        total: records of the source; None while unknown.
        done: records of the source that are final, with all their children, those of earlier runs included.
        failed: rows that failed.
        calls: model calls of this run.
        seconds_left: None if there is no estimate. If models are called after a step over all records, it reaches up to
            that step.
    """

    total: int | None
    done: int
    failed: int
    calls: int
    seconds_left: float | None


OnProgress = Callable[[RunProgress], None]


def progress_of(stats: RunStats) -> RunProgress:
    """Returns the progress that counters show."""
    calls = sum(engine.calls for engine in engines_of(stats))
    return RunProgress(stats.total, stats.settled, stats.failed, calls, eta(stats))


def call_back(stats: Callable[[], RunStats], callback: OnProgress) -> Callable[[], None]:
    """Calls a function every second, and once at the end. One that raises an error is not called again."""
    broken = False

    def tell() -> None:
        nonlocal broken
        if broken:
            return
        try:
            callback(progress_of(stats()))
        except Exception:
            broken = True
            log.exception("the progress callback has failed, and is not called again")

    return repeat(tell, SECONDS, tell)
