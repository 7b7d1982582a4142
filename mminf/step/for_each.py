"""`for_each`: any record step, run over the items of a list field."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from mminf.errors import (
    AskAgain,
    EngineError,
    ImageError,
    Interrupted,
    JournalError,
    Parked,
    RecordError,
    RequestError,
)
from mminf.recipe.config import EngineConfig
from mminf.record import Record
from mminf.step.base import Context, Drop, Outcome, Step


class ForEach(Step[Any]):
    """Runs a step over each item of a list, and puts what it writes into the item.

    The step sees the record's fields, overlaid with the item's own (an item that is no object is one field, named by
    `item`). An item that it drops leaves the list; where it makes children, they take the item's place. Calls of all
    items go out together, each item is tried again by itself, and has seeds of its own.

    Args:
        inner: the step; its config says which list.
    """

    def __init__(self, inner: Step[Any]) -> None:
        if inner.dataset:
            raise ValueError(f"{inner.type} works on the whole dataset, and can't run for each item of a list")
        self.inner = inner
        self.config = inner.config
        self.type = inner.type  # type: ignore[misc]
        self.version = inner.version  # type: ignore[misc]
        self.condition = None  # tested on each item
        self.items = inner.config.for_each

    @property
    def gate(self) -> bool:  # type: ignore[override]
        return self.inner.gate or self.items.failed == "drop"

    @property
    def reads(self) -> frozenset[str]:
        return frozenset([self.items.field])

    @property
    def uses(self) -> frozenset[str]:
        kept = [self.items.dropped] if self.items.dropped else []
        return self.inner.uses.union([self.items.field], kept)

    @property
    def writes(self) -> frozenset[str]:
        return frozenset([self.items.field, *([self.items.dropped] if self.items.dropped else [])])

    def describe(self) -> dict[str, Any]:
        return self.inner.describe()

    def check_engine(self, backend: Any, config: EngineConfig) -> None:
        self.inner.check_engine(backend, config)

    async def run(self, record: Record, ctx: Context) -> Outcome:
        items = record[self.items.field]
        if not isinstance(items, list):
            raise RecordError(f"field {self.items.field!r} is no list, but {type(items).__name__}")
        found = await asyncio.gather(
            *(self._run_item(record, number, item, ctx) for number, item in enumerate(items)), return_exceptions=True
        )
        raise_worst(found)
        kept = [item for made in found if isinstance(made, list) for item in made]
        dropped = [
            {**self.fields_of(item), **(end.fields or {}), "reason": end.reason}
            for item, end in zip(items, found, strict=True)
            if isinstance(end, Drop)
        ]
        written: dict[str, Any] = {self.items.field: kept}
        if self.items.dropped:
            before: Any = record.get(self.items.dropped) or []
            written[self.items.dropped] = [*before, *dropped]
        if dropped and not kept and self.items.empty == "drop":
            return Drop(f"none of {len(items)} items is left; the first: {dropped[0]['reason']}", written)
        return written

    def fields_of(self, item: Any) -> dict[str, Any]:
        """Returns an item's fields, as the step sees them."""
        return dict(item) if isinstance(item, Mapping) else {self.items.item: item}

    async def _run_item(self, record: Record, number: int, item: Any, ctx: Context) -> list[Any] | Drop:
        fields = self.fields_of(item)
        shown = Record(f"{record.id}/{number}", {**record.fields, **fields}, record.seq, record.path, record.origin)
        try:
            if self.inner.condition is not None and not self.inner.condition.test(shown.fields):
                return [item]
            outcome = await self._attempt(shown, ctx)
        except RecordError as error:
            if self.items.failed == "drop" and not isinstance(error, RequestError | ImageError):
                return Drop(str(error))  # what may be otherwise next time must not be left out for good
            raise RecordError(f"item {number + 1} of {self.items.field}: {error}") from error
        if isinstance(outcome, Drop):
            return outcome
        if isinstance(outcome, Mapping):
            return [{**fields, **outcome} if outcome else item]
        return [{**fields, **child} for child in outcome] or Drop("no children")

    async def _attempt(self, shown: Record, ctx: Context) -> Outcome:
        reason = ""
        # From 0, also where `mminf retry` wrote attempts off: items that could be read then are in the journal.
        for number in range(ctx.attempt + self.config.attempts):
            try:
                return await self.inner.run(shown, ctx.fork(shown, number))
            except (Interrupted, Parked, EngineError, JournalError, RecordError):
                raise
            except AskAgain as error:
                reason = str(error)
            except Exception as error:  # a step's own bug fails the record that it met, not the run
                reason = f"{type(error).__name__}: {error}"
        raise RecordError(f"{reason} ({ctx.attempt + self.config.attempts} attempts)")


def raise_worst(found: Iterable[object]) -> None:
    """Raises the error among results that weighs most: it ends the run, parks the record, fails it, or asks again."""
    if errors := [item for item in found if isinstance(item, BaseException)]:
        raise max(errors, key=_weight)


def _weight(error: BaseException) -> int:
    return next((weight for weight, kind in enumerate((AskAgain, RecordError, Parked)) if isinstance(error, kind)), 3)
