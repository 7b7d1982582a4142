"""`keep`: drops the records for which an expression is false."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from mminf.recipe.config import StepConfig
from mminf.recipe.model import TemplateFolders
from mminf.record import Record
from mminf.step.base import Drop, Outcome, Step, step
from mminf.step.context import Context
from mminf.template import Expression, false_statement


class KeepConfig(StepConfig):
    shorthand: ClassVar[str | None] = "expression"
    expression: str = Field(description="Jinja expression over the record's fields.")


@step("keep")
class Keep(Step[KeepConfig]):
    """Drops the records for which an expression is false."""

    def __init__(self, config: KeepConfig, folders: TemplateFolders) -> None:
        super().__init__(config, folders)
        self.expression = Expression(config.expression)

    @property
    def gate(self) -> bool:
        return True

    @property
    def reads(self) -> frozenset[str]:
        return super().reads | self.expression.reads

    @property
    def checks(self) -> tuple[Expression, ...]:
        return self.expression.parts()

    async def run(self, record: Record, ctx: Context) -> Outcome:
        if self.expression.test(record.fields):
            return {}
        return Drop(false_statement(self.expression, record.fields))
