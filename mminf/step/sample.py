"""`sample` keeps a random share of the records, `limit` the first N, `top` those with the largest values."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from typing import ClassVar

from pydantic import Field, model_validator

from mminf.errors import RecordError
from mminf.recipe.config import StepConfig
from mminf.recipe.model import TemplateFolders
from mminf.record import Record
from mminf.step.base import DatasetStep, Drop, Outcome, Step, step
from mminf.step.context import Context
from mminf.template import Expression


class SampleConfig(StepConfig):
    shorthand: ClassVar[str | None] = "fraction"
    fraction: float = Field(ge=0, le=1, description="Probability with which each record is kept, drawn with its seed.")


@step("sample")
class Sample(Step[SampleConfig]):
    """Keeps each record with a probability, independently of the other records."""

    @property
    def gate(self) -> bool:
        return True

    @property
    def kept_share(self) -> float:
        return float(self.config.fraction)

    async def run(self, record: Record, ctx: Context) -> Outcome:
        return {} if ctx.random.random() < self.config.fraction else Drop("not sampled")


class LimitConfig(StepConfig):
    shorthand: ClassVar[str | None] = "count"
    count: int = Field(ge=0, description="Number of records to keep, the first in source order.")


@step("limit")
class Limit(DatasetStep[LimitConfig]):
    """Keeps the first N of the remaining records."""

    @property
    def most_records(self) -> int:
        return int(self.config.count)

    def run_all(self, records: Iterable[Record], ctx: Context) -> Iterator[tuple[Record, Outcome]]:
        for number, record in enumerate(records):
            yield record, {} if number < self.config.count else Drop(f"over the limit of {self.config.count}")


class TopConfig(StepConfig):
    count: int = Field(ge=0, description="Number of records to keep.")
    highest: str | None = Field(None, description="Expression; the records with the highest values are kept.")
    lowest: str | None = Field(None, description="Expression; the records with the lowest values are kept.")

    @model_validator(mode="after")
    def _one_way(self) -> TopConfig:
        if (self.highest is None) == (self.lowest is None):
            raise ValueError("give either `highest` or `lowest`")
        return self


@step("top")
class Top(DatasetStep[TopConfig]):
    """Keeps the N records with the highest or lowest values; of equal values, the first in source order.

    A record whose value is not a number fails.
    """

    def __init__(self, config: TopConfig, folders: TemplateFolders) -> None:
        super().__init__(config, folders)
        self.expression = Expression(config.highest or config.lowest or "")

    @property
    def reads(self) -> frozenset[str]:
        return super().reads | self.expression.reads

    @property
    def most_records(self) -> int:
        return int(self.config.count)

    def run_all(self, records: Iterable[Record], ctx: Context) -> Iterator[tuple[Record, Outcome | RecordError]]:
        # The numbers of the records that are kept, so that memory does not grow with their texts.
        best = heapq.nlargest(self.config.count, self._ranks(records))
        kept = {-number for _, number in best}
        for number, record in enumerate(records):
            try:
                value = self._value(record)
            except RecordError as error:
                yield record, error
                continue
            is_kept = number in kept
            yield record, {} if is_kept else Drop(f"not among the {self.config.count} best: {value}")

    def _ranks(self, records: Iterable[Record]) -> Iterator[tuple[float, int]]:
        sign = 1 if self.config.highest is not None else -1
        for number, record in enumerate(records):
            try:
                yield sign * self._value(record), -number
            except RecordError:
                continue  # fails when the records are written

    def _value(self, record: Record) -> float:
        value = self.expression(record.fields)
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            raise RecordError(f"{self.expression.source!r} is not a number: {value!r:.80}")
        return value
