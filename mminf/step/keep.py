"""`keep`: drops the records for which an expression is false."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from mminf.recipe.config import StepConfig
from mminf.recipe.model import TemplateFolders
from mminf.record import Record
from mminf.step.base import Context, Drop, Outcome, Step, step
from mminf.text import Expression


class KeepConfig(StepConfig):
    shorthand: ClassVar[str | None] = "expression"
    expression: str = Field(description="Jinja expression over the record's fields.")


@step("keep")
class Keep(Step[KeepConfig]):
    """Drops the records for which an expression is false."""

    gate = True

    def __init__(self, config: KeepConfig, folders: TemplateFolders) -> None:
        super().__init__(config, folders)
        self.expression = Expression(config.expression)

    @property
    def reads(self) -> frozenset[str]:
        return super().reads | self.expression.reads

    async def run(self, record: Record, ctx: Context) -> Outcome:
        if self.expression.test(record.fields):
            return {}
        values = ", ".join(f"{name}={record.fields[name]!r}" for name in sorted(self.expression.reads))
        return Drop(f"not {self.expression.source} ({values[:200]})")
