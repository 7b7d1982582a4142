"""`draw` writes a random value, `choose` writes the best item of a list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, model_validator

from mminf.config import Names
from mminf.cost import Range
from mminf.errors import RecordError
from mminf.recipe.config import StepConfig
from mminf.recipe.model import TemplateFolders
from mminf.record import Json, Record, canonical_json
from mminf.step.base import Drop, Outcome, Step, step
from mminf.step.context import Context
from mminf.template import Expression


class DrawConfig(StepConfig):
    renamed: ClassVar[Mapping[str, str]] = {"of": "values"}
    writes: str = Field(description="Field for the value, or with `n` for the list of values.")
    n: int | None = Field(None, ge=1, description="Draw N different values as a list; all values if there are fewer.")
    values: list[Any] | dict[str, float] | None = Field(
        None, description="List of values, or a mapping of values to weights."
    )
    file: str | None = Field(
        None, description="Text file in a template folder, one value per line; # begins a comment."
    )
    by: str | None = Field(
        None,
        description="With `file`: field that names the section of the file, in any case; a line `[name]` begins a "
        "section. The lines before the first section are for records without this field, or with another value.",
    )
    reads: str | None = Field(None, description="List field of the record; one of its items is drawn.")

    @model_validator(mode="after")
    def _one_way(self) -> DrawConfig:
        if sum(value is not None for value in (self.values, self.file, self.reads)) != 1:
            raise ValueError("give exactly one of `values`, `file` and `reads`")
        if self.by is not None and self.file is None:
            raise ValueError("`by` needs `file`")
        if self.values is not None and not self.values:
            raise ValueError("`values` is empty")
        if isinstance(self.values, dict) and (min(self.values.values()) < 0 or not sum(self.values.values())):
            raise ValueError("weights must not be negative, and not all 0")
        if isinstance(self.values, dict) and self.n is not None:
            raise ValueError("`n` can't be combined with weights")
        return self


@step("draw")
class Draw(Step[DrawConfig]):
    """Writes a random value, drawn with the record's own seed: it is the same in every run with the same seed."""

    def __init__(self, config: DrawConfig, folders: TemplateFolders) -> None:
        super().__init__(config, folders)
        self.values: list[Json] = []
        self.weights: list[float] | None = None
        self.sections: dict[str, list[Json]] = {}
        if config.file is not None:
            lines = (line.strip() for line in folders.text(config.file).splitlines())
            self.values = [line for line in lines if line and not line.startswith("#")]
            if not self.values:
                raise ValueError(f"{config.file} contains no values")
            if config.by is not None:
                self.sections = _sections(self.values, config.file)
                self.values = self.sections.pop("")
        elif isinstance(config.values, dict):
            self.values, self.weights = list(config.values), list(config.values.values())
        elif config.values is not None:
            self.values = config.values

    @property
    def uses(self) -> frozenset[str]:
        return self.reads if self.config.by is None else self.reads | {self.config.by}

    def list_lengths(self, known: Mapping[str, Range]) -> Mapping[str, Range]:
        return {} if self.config.n is None else {self.config.writes: Range(1, self.config.n)}

    def describe(self) -> dict[str, Json]:
        sections: dict[str, Json] = {"sections": self.sections} if self.sections else {}
        return {**super().describe(), "values": self.values, **sections}

    async def run(self, record: Record, ctx: Context) -> Outcome:
        values: Json = self.values if self.config.reads is None else record[self.config.reads]
        if self.config.by is not None:
            values = self.sections.get(str(record.get(self.config.by)).strip().casefold(), self.values)
        if not isinstance(values, list) or not values:
            raise RecordError(f"field {self.config.reads!r} is not a list with items, but {values!r:.80}")
        if self.config.n is not None:
            different = list({canonical_json(value): value for value in values}.values())
            return {self.config.writes: ctx.random.sample(different, min(self.config.n, len(different)))}
        return {self.config.writes: ctx.random.choices(values, self.weights)[0]}


def _sections(lines: list[Json], name: str) -> dict[str, list[Json]]:
    """Returns the lines of a file by section; those before the first section are under an empty name."""
    found: dict[str, list[Json]] = {"": []}
    section = ""
    for line in map(str, lines):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip().casefold()
            if not section or section in found:
                raise ValueError(f"{name}: duplicate or empty section {line}")
            found[section] = []
        else:
            found[section].append(line)
    if empty := [section or "before the first section" for section, values in found.items() if not values]:
        raise ValueError(f"{name} contains no values: {', '.join(empty)}")
    return found


class ChooseConfig(StepConfig):
    reads: str = Field(description="List field of the record, with objects as items.")
    highest: str | None = Field(None, description="Expression over an item; the item with the highest value is chosen.")
    lowest: str | None = Field(None, description="Expression over an item; the item with the lowest value is chosen.")
    writes: Names = Field(description="Fields of the chosen item that are copied to the record.")

    @model_validator(mode="after")
    def _one_way(self) -> ChooseConfig:
        if (self.highest is None) == (self.lowest is None):
            raise ValueError("give either `highest` or `lowest`")
        return self


@step("choose")
class Choose(Step[ChooseConfig]):
    """Copies fields of the best item of a list to the record; ties go to the first. An empty list drops the record."""

    def __init__(self, config: ChooseConfig, folders: TemplateFolders) -> None:
        super().__init__(config, folders)
        self.expression = Expression(config.highest or config.lowest or "")

    @property
    def gate(self) -> bool:
        return True

    @property
    def uses(self) -> frozenset[str]:
        return self.reads | self.expression.reads

    async def run(self, record: Record, ctx: Context) -> Outcome:
        items = record[self.config.reads]
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise RecordError(f"field {self.config.reads!r} is not a list of objects")
        if not items:
            return Drop(f"no item in {self.config.reads}")
        values = [self.expression({**record.fields, **item}) for item in items]
        numbers = [value for value in values if isinstance(value, int | float)]
        if len(numbers) < len(values):
            raise RecordError(f"{self.expression.source!r} is not a number for every item: {values!r:.80}")
        best = min(numbers) if self.config.lowest is not None else max(numbers)
        chosen = items[numbers.index(best)]
        if missing := [name for name in self.config.writes if name not in chosen]:
            raise RecordError(f"the chosen item of {self.config.reads!r} has no {', '.join(missing)}")
        return {name: chosen[name] for name in self.config.writes}
