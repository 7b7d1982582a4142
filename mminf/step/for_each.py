"""`for_each`: any record step, run over the items of a list field."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from mminf.cost import NONE, UNKNOWN, Amount, Range
from mminf.errors import ImageError, MissingField, RecordError, RequestError
from mminf.recipe.config import EngineConfig
from mminf.record import Record
from mminf.registry import WRAPPERS
from mminf.step.base import Drop, Outcome, Step
from mminf.step.context import Context
from mminf.step.outcome import check_outcome
from mminf.step.retry import raise_worst, retry


@WRAPPERS.register("for_each")
class ForEach(Step[Any]):
    """Runs a step for each item of a list, and writes its fields to the item.

    The step sees the record's fields, overlaid with those of the item (an item that is not an object is one field,
    named by `item`). An item that it drops leaves the list; if it makes children, they replace the item. The calls for
    all items start together; each item is retried by itself, and has its own seeds.

    Args:
        inner: the step; its config names the list.
    """

    def __init__(self, inner: Step[Any]) -> None:
        if inner.dataset:
            raise ValueError(f"{inner.type} works on the whole dataset, and can't run for each item of a list")
        self.inner = inner
        self.config = inner.config
        self.type = inner.type  # type: ignore[misc]
        self.version = inner.version  # type: ignore[misc]
        self.code = inner.code  # type: ignore[misc]
        self.condition = None  # tested on each item
        self.items = inner.config.for_each

    @property
    def gate(self) -> bool:
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

    @property
    def calls_per_record(self) -> Amount:
        calls = self.inner.calls_per_record
        if calls.items is not None:  # a list of the item or of the record; its length is not known here
            return Amount(UNKNOWN)
        return Amount(calls.number if self.inner.condition is None else calls.number.or_less(), self.items.field)

    def list_lengths(self, known: Mapping[str, Range]) -> Mapping[str, Range]:
        before, children = known.get(self.items.field, UNKNOWN), self.inner.children_per_record
        each = UNKNOWN if children.items is not None else children.number
        after = before.times(each)
        if self.gate:  # an item that is dropped leaves the list; an empty list drops the record, unless it is kept
            after = Range(0 if self.items.empty == "keep" else min(1, after.least), after.most)
        elif self.inner.optional:
            after = after.joined(before)
        found = {self.items.field: after}
        if self.items.dropped is not None:
            found[self.items.dropped] = known.get(self.items.dropped, NONE).plus(before.or_less())
        return found

    def describe(self) -> dict[str, Any]:
        return self.inner.describe()

    def check_engine(self, backend: Any, config: EngineConfig) -> None:
        self.inner.check_engine(backend, config)

    def use_engine(self, config: EngineConfig) -> None:
        self.inner.use_engine(config)

    async def run(self, record: Record, ctx: Context) -> Outcome:
        items = record[self.items.field]
        if not isinstance(items, list):
            raise RecordError(f"field {self.items.field!r} is not a list, but {type(items).__name__}")
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
                return Drop(str(error))  # a temporary failure must not remove an item permanently
            kind = MissingField if isinstance(error, MissingField) else RecordError
            raise kind(f"item {number + 1} of {self.items.field}: {error}") from error
        if isinstance(outcome, Drop):
            return outcome
        if isinstance(outcome, Mapping):
            return [{**fields, **outcome} if outcome else item]
        return [{**fields, **child} for child in outcome] or Drop("no children")

    async def _attempt(self, shown: Record, ctx: Context) -> Outcome:
        # From 0, even if `mminf retry` wrote attempts off: readable answers of these attempts are in the journal.
        async def attempt(number: int) -> Outcome:
            return check_outcome(self.inner, await self.inner.run(shown, ctx.fork(shown, number)))

        return await retry(attempt, ctx.attempt + self.config.attempts, before=ctx.count_retry)
