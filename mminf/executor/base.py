"""The base class of executors."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from mminf.engine.result import RunResult
from mminf.engine.run import Run
from mminf.engine.stats import RunStats
from mminf.executor.loop import run_in_loop

if TYPE_CHECKING:
    from mminf.display.callback import OnProgress


class Executor(ABC):
    """Says how and where a run is executed. One object executes one run.

    An executor whose workers are on other machines leads the run with `sharding.Coordinator`, and its workers are
    `executor.worker.Worker`; see `RayExecutor`.
    """

    patience: ClassVar[float] = 0.0
    """Seconds after the first signal in which further signals are ignored, because a launcher repeats them."""

    @abstractmethod
    async def work(self, run: Run) -> RunResult:
        """Works on a run, resuming what its journals contain, and returns its result.

        Raises:
            UsageError: if it can't continue; progress is saved.
        """

    @contextlib.contextmanager
    def open(self, run: Run) -> Iterator[Run]:
        """Prepares what the executor needs, such as the connection to a cluster. Yields the run to work on."""
        yield run

    def stats(self, run: Run) -> RunStats:
        """Returns the counters whose progress is shown."""
        return run.session.stats

    def watch(self, run: Run, *, progress: bool | OnProgress) -> Callable[[], None] | None:
        """Shows the run's progress, if it is wanted, until the returned function is called."""
        if not progress:
            return None
        if callable(progress):
            from mminf.display.callback import call_back

            return call_back(lambda: self.stats(run), progress)
        from mminf.display.progress import show_stats

        return show_stats(lambda: self.stats(run))

    def execute(self, run: Run, *, progress: bool | OnProgress = False) -> RunResult:
        """Executes a run in a new event loop, and returns its result. Raises the exceptions of `work`.

        Args:
            progress: show it on stderr, or call a function with it.
        """
        with self.open(run) as opened:
            return run_in_loop(self.work, opened, partial(self._watch, opened, progress), self.patience)

    def _watch(self, run: Run, progress: bool | OnProgress) -> Callable[[], None]:
        return self.watch(run, progress=progress) or (lambda: None)
