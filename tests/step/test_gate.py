"""A step's gate is a property, and a class attribute will do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from mminf.errors import RecordError
from mminf.plugin import discover
from mminf.recipe.config import StepConfig
from mminf.recipe.model import TemplateFolders
from mminf.recipe.wrap import wrap_step
from mminf.record import Record
from mminf.step import Context, DatasetStep, Outcome, Step

FOLDERS = TemplateFolders([])


class Plain(Step[StepConfig]):
    async def run(self, record: Record, ctx: Context) -> Outcome:
        return {}


class ByAttribute(Plain):
    gate = True


class ByProperty(Plain):
    @property
    def gate(self) -> bool:
        return self.config.attempts > 3


class Whole(DatasetStep[StepConfig]):
    def run_all(self, records: Iterable[Record], ctx: Context) -> Iterator[tuple[Record, Outcome | RecordError]]:
        return ((record, {}) for record in records)


class WholeWithoutGate(Whole):
    gate = False


@pytest.mark.parametrize(
    ("cls", "gate"),
    [(Plain, False), (ByAttribute, True), (ByProperty, False), (Whole, True), (WholeWithoutGate, False)],
)
def test_what_says_that_a_step_is_a_gate(cls: type[Step[StepConfig]], gate: bool) -> None:
    assert cls(StepConfig(), FOLDERS).gate is gate


def test_a_gate_may_depend_on_the_config() -> None:
    assert ByProperty(StepConfig(attempts=4), FOLDERS).gate


def test_over_items_a_step_is_a_gate_if_it_is_one_or_drops_items() -> None:
    def over_items(cls: type[Step[StepConfig]], **items: str) -> bool:
        return wrap_step(cls(StepConfig(for_each={"field": "turns", **items}), FOLDERS)).gate

    discover()
    assert not over_items(Plain)
    assert over_items(Plain, failed="drop")
    assert over_items(ByAttribute)
