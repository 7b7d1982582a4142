"""A probe: some records of the source, drawn over the whole of it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from mminf.cost.estimate import Estimate, estimate
from mminf.cost.figures import Figures
from mminf.engine.input import read_input
from mminf.engine.result import RunResult
from mminf.engine.run import Run
from mminf.engine.stats import RunStats
from mminf.engine.terms import make_terms
from mminf.image import ImagePolicy
from mminf.record import Record
from mminf.shard import Shard
from mminf.source.base import BadRow, Source

PER = 1000
"""Number of records that costs are estimated for if the number of records of an input is unknown."""
MOST_READ = 1000
"""Rows that are read of an input that can't be counted; the probe is drawn from them."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The result of a probe.

    Attributes:
        figures: figures of its records.
        stats: counters of its steps.
        total: number of records of the run; None if it is unknown.
        estimate: estimated cost of the run, or of 1000 records if the total is unknown; None if there are no records.
        calling: names of the steps that call a model.
        unpriced: engines without a price.
        unloaded: models whose loads are not in the time: the journal had all their answers.
        result: the state of the run that the probe is a part of.
    """

    figures: Figures
    stats: RunStats
    total: int | None
    estimate: Estimate | None
    calling: Sequence[str]
    unpriced: Sequence[str]
    unloaded: Sequence[str]
    result: RunResult


def conclude(run: Run, figures: Figures, total: int | None, result: RunResult) -> ProbeResult:
    """Returns the result of a probe with the estimate for the whole run."""
    terms = make_terms(run, PER if total is None else total)
    if total is None:
        terms = replace(terms, target=None)
    found = estimate(figures, terms) if figures.records else None
    calling = [step.name for step in run.plan.recipe.steps if step.engine is not None]
    unpriced = [name for name, config in run.plan.recipe.engines.items() if config.price is None]
    engines = {call.engine: run.session.engines[call.engine] for call in figures.calls}
    unloaded = [
        engine.stats.model for engine in engines.values() if engine.loads_model and not engine.stats.load_seconds
    ]
    return ProbeResult(
        figures, run.session.stats, total, found, calling, unpriced, list(dict.fromkeys(unloaded)), result
    )


class ChosenRecords(Source):
    """Some records of another source.

    Args:
        source: the other source.
        positions: positions of the records among all that it yields.
    """

    def __init__(self, source: Source, positions: Sequence[int]) -> None:
        super().__init__(source.config, source.base, source.scratch)
        self._source = source
        self.positions = sorted(positions)

    def read(self, shard: Shard | None = None) -> Iterator[Record | BadRow]:
        rows = read_input(self._source)
        next_row = 0
        for position in self.positions:
            yield from itertools.islice(rows, position - next_row, position - next_row + 1)
            next_row = position + 1

    def count(self) -> int:
        return len(self.positions)

    def policy(self) -> ImagePolicy:
        return self._source.policy()


def draw_positions(total: int, number: int, seed: int) -> list[int]:
    """Returns positions that are spread over an input: one at random in each of `number` equal parts.

    Args:
        seed: the same seed draws the same positions.
    """
    number = min(number, total)
    drawn = random.Random(seed)
    ends = [part * total // number for part in range(number + 1)] if number else []
    return [drawn.randrange(start, end) for start, end in itertools.pairwise(ends)]


def choose_records(run: Run, number: int, *, spread: bool = True) -> tuple[ChosenRecords, int | None]:
    """Returns a source with some records of a run's source, and the number of records of the run, if it is known.

    If the input can't be counted without reading it, the records are drawn from its first 1000.

    Args:
        spread: draw them over the whole input; otherwise they are the first ones.
    """
    total = run.count()
    if not spread:
        return ChosenRecords(run.source, range(number if total is None else min(number, total))), total
    readable = total
    if readable is None:
        most = MOST_READ if run.plan.limit is None else min(MOST_READ, run.plan.limit)
        readable = sum(1 for _ in itertools.islice(read_input(run.source), most))
        total = readable if readable < MOST_READ else None
    return ChosenRecords(run.source, draw_positions(readable, number, run.plan.recipe.run.seed)), total


def without_target(run: Run, source: Source) -> Run:
    """Returns a run of other records that does not stop at the recipe's target. Its records have the same results."""
    recipe = run.plan.recipe
    endless = replace(recipe, run=recipe.run.model_copy(update={"target": None}))
    return replace(run, source=source, plan=replace(run.plan, recipe=endless))
