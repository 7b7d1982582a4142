"""Records that wait for an engine for which there is no room, and the swap of engines that lets them continue."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from mminf.engine.engines import Engine
from mminf.engine.plan import StagePlan
from mminf.engine.pool import Pool
from mminf.journal import Journal, Waiting
from mminf.layout import amount
from mminf.recipe.model import StepLike

log = logging.getLogger("mminf")


class Parking:
    """The parked records of a stage.

    Args:
        journal: journal that the records are written to.
        engines: engines of the recipe, by name.
        pool: decides which engines may be loaded, and swaps them.
    """

    def __init__(self, stage: StagePlan, journal: Journal, engines: Mapping[str, Engine], pool: Pool) -> None:
        self._stage = stage
        self._journal = journal
        self._engines = engines
        self._pool = pool
        self._blocked: Counter[int] = Counter()
        self.parked = 0

    def reserve(self) -> None:
        """Reserves the available memory for the engines that are used first."""
        self._pool.reserve(self._used(self._stage.steps))

    def begin_pass(self) -> None:
        """Resets the number of parked records."""
        self.parked = 0

    def note(self, step: int) -> None:
        """Notes that a record, or a child, waits for the engine of a step."""
        self._blocked[step] += 1

    @property
    def waiting(self) -> int:
        """Number of records and children that wait."""
        return self._blocked.total()

    async def park(self, waiting: Waiting) -> None:
        """Writes a source record that waits, with its progress."""
        self.parked += 1
        self._journal.memo.search_again()  # the step that ended the record runs again, and must find its answer
        await self._journal.parked.add(self._stage.index, waiting)

    def take(self) -> Iterator[Waiting]:
        """Yields and removes the parked records."""
        return self._journal.parked.take(self._stage.index)

    async def swap(self) -> None:
        """Makes room for the engine of the earliest waiting step; the next call loads it."""
        await self._journal.flush()
        first, number = min(self._blocked), self.waiting
        self._blocked = Counter()
        steps = self._stage.steps
        engine, *later = self._used((*steps[first:], *steps[:first]))
        waiting = f"{amount(number, 'record')} {'waits' if number == 1 else 'wait'}"
        log.info("%s for %s (step %s)", waiting, engine.stats.model, steps[first].name)
        await self._pool.swap(engine, later)

    def _used(self, steps: Sequence[StepLike]) -> list[Engine]:
        return [self._engines[step.engine] for step in steps if step.engine is not None]
