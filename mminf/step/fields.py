"""`set` and `rename`: write fields without a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, model_validator

from mminf.cost import UNKNOWN, Range
from mminf.errors import RecordError
from mminf.recipe.config import StepConfig
from mminf.recipe.model import TemplateFolders
from mminf.record import Record
from mminf.step.base import Outcome, Step, step
from mminf.step.context import Context
from mminf.template import Expression


def _gather(data: object) -> object:
    """Moves the keys that are not keys of every step to `fields`, unless `fields` is given."""
    if isinstance(data, dict) and "fields" not in data:
        own = {key: value for key, value in data.items() if key in StepConfig.model_fields}
        return {**own, "fields": {key: str(value) for key, value in data.items() if key not in own}}
    return data


class SetConfig(StepConfig):
    """`set: {field: expression}`. A field with the name of a step's key must be given under `fields:`."""

    shorthand: ClassVar[str | None] = "fields"
    fields: dict[str, str] = Field(description="Field -> Jinja expression over the record's fields.")

    @model_validator(mode="before")
    @classmethod
    def _gather_fields(cls, data: object) -> object:
        return _gather(data)


@step("set")
class Set(Step[SetConfig]):
    """Writes fields from expressions over the record's fields."""

    def __init__(self, config: SetConfig, folders: TemplateFolders) -> None:
        super().__init__(config, folders)
        self.expressions = {field: Expression(source) for field, source in config.fields.items()}

    @property
    def reads(self) -> frozenset[str]:
        return super().reads.union(*(expression.reads for expression in self.expressions.values()))

    @property
    def writes(self) -> frozenset[str]:
        return frozenset(self.expressions)

    def list_lengths(self, known: Mapping[str, Range]) -> Mapping[str, Range]:
        found = {field: _length(expression, known) for field, expression in self.expressions.items()}
        return {field: length for field, length in found.items() if length is not None}

    async def run(self, record: Record, ctx: Context) -> Outcome:
        return {field: expression(record.fields) for field, expression in self.expressions.items()}


def _length(expression: Expression, known: Mapping[str, Range]) -> Range | None:
    """Returns the length of the list that is an expression's value, None if it is not known before a record is read."""
    if not expression.reads:
        try:
            value = expression({})
        except RecordError:  # fails the records
            return None
        return Range.of(len(value)) if isinstance(value, list) else None
    if (made_of := expression.source_list()) is None:
        return None
    name, whole = made_of
    length = known.get(name, UNKNOWN)
    return length if whole else length.or_less()


class RenameConfig(StepConfig):
    """`rename: {old: new}`. A field with the name of a step's key must be given under `fields:`."""

    shorthand: ClassVar[str | None] = "fields"
    fields: dict[str, str] = Field(description="Old name -> new name; the old field is kept.")

    @model_validator(mode="before")
    @classmethod
    def _gather_fields(cls, data: object) -> object:
        return _gather(data)


@step("rename")
class Rename(Step[RenameConfig]):
    """Copies fields to new names."""

    @property
    def reads(self) -> frozenset[str]:
        return super().reads | frozenset(self.config.fields)

    @property
    def writes(self) -> frozenset[str]:
        return frozenset(self.config.fields.values())

    async def run(self, record: Record, ctx: Context) -> Outcome:
        return {new: record[old] for old, new in self.config.fields.items()}
