"""`split`: makes a child record of each item of a list."""

from __future__ import annotations

from pydantic import Field

from mminf.cost import UNKNOWN, Amount
from mminf.errors import RecordError
from mminf.recipe.config import StepConfig
from mminf.record import Record
from mminf.step.base import Outcome, Step, step
from mminf.step.context import Context


class SplitConfig(StepConfig):
    reads: str = Field(description="Field with a list, or with `separator` a text.")
    writes: str = Field(description="Field for the item.")
    separator: str | None = Field(None, description="Separator of a text; empty parts are left out.")
    keep: bool = Field(
        False, description="Children keep the whole list, which needs space for the square of its length."
    )


@step("split")
class Split(Step[SplitConfig]):
    """Makes a child record of each item of a list or part of a text; the children do not keep the list."""

    version = 2

    @property
    def gate(self) -> bool:
        return True

    @property
    def removes(self) -> frozenset[str]:
        return frozenset() if self.config.keep else frozenset({self.config.reads}) - {self.config.writes}

    @property
    def children_per_record(self) -> Amount:
        return Amount(UNKNOWN) if self.config.separator is not None else Amount(items=self.config.reads)

    async def run(self, record: Record, ctx: Context) -> Outcome:
        value = record[self.config.reads]
        if isinstance(value, str) and self.config.separator is not None:
            value = [part.strip() for part in value.split(self.config.separator) if part.strip()]
        if not isinstance(value, list):
            raise RecordError(f"field {self.config.reads!r} is not a list, but {type(value).__name__}")
        return [{self.config.writes: item} for item in value]
