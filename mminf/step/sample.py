"""`sample` keeps a random share of the records, `limit` the first N."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from pydantic import Field

from mminf.recipe.config import StepConfig
from mminf.record import Record
from mminf.step.base import DatasetStep, Drop, Outcome, Step, step
from mminf.step.context import Context


class SampleConfig(StepConfig):
    shorthand: ClassVar[str | None] = "fraction"
    fraction: float = Field(ge=0, le=1, description="Probability with which each record is kept, drawn with its seed.")


@step("sample")
class Sample(Step[SampleConfig]):
    """Keeps each record with a probability, independently of the other records."""

    @property
    def gate(self) -> bool:
        return True

    async def run(self, record: Record, ctx: Context) -> Outcome:
        return {} if ctx.random.random() < self.config.fraction else Drop("not sampled")


class LimitConfig(StepConfig):
    shorthand: ClassVar[str | None] = "count"
    count: int = Field(ge=0, description="Number of records to keep, the first in source order.")


@step("limit")
class Limit(DatasetStep[LimitConfig]):
    """Keeps the first N of the remaining records."""

    def run_all(self, records: Iterable[Record], ctx: Context) -> Iterator[tuple[Record, Outcome]]:
        for number, record in enumerate(records):
            yield record, {} if number < self.config.count else Drop(f"over the limit of {self.config.count}")
