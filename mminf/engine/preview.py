"""Catches the request that a step would send, without sending it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from mminf.engine.context import NO_SAMPLING, StepContext
from mminf.engine.run import Run
from mminf.errors import UsageError
from mminf.image import ImageStore
from mminf.record import Record, derive_seed
from mminf.request import Generation, Request, Sampling
from mminf.turns import Turn


class _Caught(Exception):
    def __init__(self, request: Request) -> None:
        self.request = request


class _Catcher(StepContext):
    """A context whose first call ends the step with the request that it would have sent."""

    def __init__(self, run: Run, step: Any, record: Record, store: ImageStore) -> None:
        self.store = store
        self.view = run.engines[step.engine].backend.view
        self._seed = run.recipe.run.seed
        self.step, self.record, self.attempt, self._random = step, record, 0, None

    __slots__ = ("_seed", "store", "view")

    @property
    def seed(self) -> int:
        return derive_seed(self._seed, self.record.id, self.step.name, self.attempt)

    def fork(self, record: Record, attempt: int) -> StepContext:
        return self

    def read_image(self, uri: str) -> Any:
        raise UsageError(f"step {self.step.name!r} works on the whole dataset")

    async def embed(self, turns: Sequence[Turn], *, images: Sequence[str] = ()) -> tuple[str, bool, int]:
        await self.generate(turns, images=images, sampling=NO_SAMPLING)
        raise AssertionError("generate raises what it caught")

    async def generate(
        self,
        turns: Sequence[Turn],
        *,
        images: Sequence[str] = (),
        sampling: Sampling,
        open_turn: str | None = None,
        sample: int = 0,
        again: int = 0,
        ends: Sequence[str] = (),
    ) -> Generation:
        opened = []
        for uri in images:
            image = await self.store.open(uri)
            await self.store.decode(image, self.view)
            opened.append(image)
        raise _Caught(Request(tuple(turns), tuple(opened), sampling, open_turn, self.seed, tuple(ends)))


def preview_request(run: Run, step: Any, record: Record) -> Request:
    """Returns the first request of a step for a record of the source.

    Fields that only earlier steps would write stand in the prompt as `<field>`.

    Raises:
        UsageError: if the step asks no model.
    """
    if step.engine is None:
        raise UsageError(f"step {step.name!r} asks no model")
    first: dict[str, Any] = {}
    if (inner := getattr(step, "inner", None)) is not None:  # a step that runs over items: what it asks for the first
        items = record.fields.get(step.items.field)
        first = step.fields_of(items[0]) if isinstance(items, list) and items else {}
        step = inner
    fields = {name: f"<{name}>" for name in step.reads if name != "images"} | record.fields | first
    store = ImageStore(run.source.policy())
    shown = Record(record.id, fields, record.seq)

    async def catch() -> Request:
        try:
            await step.run(shown, _Catcher(run, step, shown, store))
        except _Caught as caught:
            return caught.request
        raise UsageError(f"step {step.name!r} sends no prompt for record {record.id}")

    try:
        return asyncio.run(catch())
    finally:
        store.close()


__all__ = ["preview_request"]
