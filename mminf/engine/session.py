"""The runtime state of a run: its engines, its counters, and how it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping

from mminf.engine.engines import Engine
from mminf.engine.gpu_time import gpu_seconds
from mminf.engine.pool import Pool
from mminf.engine.replicas import make_engines
from mminf.engine.run_log import file_log
from mminf.engine.stats import RunStats, StepStats
from mminf.recipe.model import Recipe
from mminf.states import EngineState

DRAIN_SECONDS = 10.0
_IDLE_SECONDS = 0.2


class Session:
    """The engines of a recipe, and the counters of its run.

    Args:
        keep_engines: models stay loaded until `close`; otherwise until `release`.

    Attributes:
        early: log records from before the log of the run was opened.
    """

    def __init__(self, recipe: Recipe, *, keep_engines: bool = False, early: Iterable[logging.LogRecord] = ()) -> None:
        self.engines: Mapping[str, Engine] = make_engines(recipe.engines)
        self.pool = Pool(recipe.run.max_loaded_engines)
        self.stats = RunStats(
            steps={step.name: StepStats(step.name) for step in recipe.steps},
            engines={name: engine.stats for name, engine in self.engines.items()},
        )
        self.early = list(early)
        self._keep_engines = keep_engines
        self._task: asyncio.Task[None] | None = None
        self._counted = 0.0

    def watch_over(self, task: asyncio.Task[None] | None) -> None:
        """Makes `stop` cancel a task."""
        self._task = task

    def take_early(self) -> list[logging.LogRecord]:
        """Returns the early log records, and clears them."""
        taken, self.early = self.early, []
        return taken

    def drain(self) -> None:
        """Starts no new calls; those in flight are waited for, for `DRAIN_SECONDS`."""
        if not self.stats.draining:
            self.stats.drain()
            loop = asyncio.get_running_loop()
            loop.call_later(DRAIN_SECONDS, self.stop)
            loop.call_later(_IDLE_SECONDS, self._stop_if_idle)

    def _stop_if_idle(self) -> None:
        """Stops without waiting for a model that is still loading, because it has no calls in flight."""
        engines = [engine.stats for engine in self.engines.values()]
        loading = any(engine.state is EngineState.LOADING for engine in engines)
        if loading and not any(engine.in_flight for engine in engines):
            self.stop()
        elif self._task is not None and not self._task.done():
            asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._stop_if_idle)

    def interrupt(self) -> None:
        """Drains the run from any thread; does nothing if the run does not work."""
        if self._task is not None and not self._task.done():
            with contextlib.suppress(RuntimeError):  # the loop has just been closed
                self._task.get_loop().call_soon_threadsafe(self.drain)

    def stop(self) -> None:
        """Cancels all calls in flight."""
        if self._task is not None:
            self._task.cancel()

    def gpus(self) -> int:
        """Returns the number of GPUs that a process needs: those of the largest local model."""
        return max((engine.backend.gpus() for engine in self.engines.values()), default=0)

    def take_gpu_seconds(self) -> float:
        """Returns for how many GPU-seconds models have held GPUs since the last call."""
        held = gpu_seconds(hold for engine in set(self.engines.values()) for hold in engine.holds())
        before, self._counted = self._counted, held
        return held - before

    async def release(self) -> None:
        """Frees the models, unless they are to stay loaded."""
        if not self._keep_engines:
            await self.close()

    async def close(self) -> None:
        """Frees the models."""
        loaded = [engine for engine in set(self.engines.values()) if engine.alive]
        await asyncio.gather(*(engine.close() for engine in loaded), return_exceptions=True)
        for engine in loaded:
            if engine.loads_model:
                file_log.info("unloaded %s", engine.stats.model)
