"""Catches the request that a step would send, without sending it."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from mminf.engine.input import check_source, read_input
from mminf.engine.run import Run, open_run
from mminf.errors import Interrupted, RecordError, UsageError, nearest
from mminf.image import ImageStore, LoadedImage, View
from mminf.journal import Journal
from mminf.recipe.model import Recipe, StepLike
from mminf.record import Fields, Record
from mminf.request import Generation, Rendered, Request
from mminf.source.marks import add_marks
from mminf.states import RecordStatus
from mminf.step.base import AnyStep
from mminf.step.context import Context, StepCall
from mminf.step.for_each import ForEach

if TYPE_CHECKING:
    from PIL.Image import Image


class _Caught(Interrupted):
    """Stops a step without a retry, and contains its request."""

    def __init__(self, request: Request) -> None:
        self.request = request


class CatchingGateway:
    """Stops a step at its first call, and returns the request that the step would send.

    Args:
        seed: seed of the run.
        images: reads the images of the request.
        view: the form of the images that the step's backend needs.
    """

    def __init__(self, seed: int, images: ImageStore, view: View) -> None:
        self._seed = seed
        self._images = images
        self._view = view

    @property
    def seed(self) -> int:
        return self._seed

    async def reference_image(self, uri: str) -> LoadedImage:
        image = await self._images.open(uri)
        await self._images.decode(image)  # a backend that has loaded its processor meanwhile scales it itself
        await self._images.decode(image, self._view)
        return image

    async def open_image(self, uri: str) -> LoadedImage:
        image = await self._images.open(uri)
        await self._images.decode(image)
        return image

    def read_image(self, uri: str) -> Image:
        raise UsageError("a dataset step sends no prompt for one record")

    def has_vector(self, key: str) -> bool:
        return False

    def count_retry(self, step: StepLike) -> None:
        pass

    async def answer(self, call: StepCall) -> tuple[bytes, Generation]:
        raise _Caught(call.request)


def render_prompt(recipe: Recipe, step: str, *, record: str | None = None, output: Path | None = None) -> Rendered:
    """Returns the exact prompt of a step for a record, as its model would get it.

    Args:
        record: id; the first record of the source by default.
        output: a run whose fields fill in the prompt; without it, the prompt shows names of fields of earlier steps.

    Raises:
        UsageError: if there is no such step or record, or the step sends no prompt.
    """
    target = next((item for item in recipe.steps if item.name == step), None)
    if target is None:
        raise UsageError(f"no step {step!r}{nearest(step, [item.name for item in recipe.steps])}")
    run = open_run(recipe, output or Path("out") / recipe.name)
    check_source(run.source)
    chosen = _find_record(run, record) if output is None else _find_row(output, record)
    try:
        request = preview_request(run, target, chosen)
    except RecordError as error:
        raise UsageError(f"record {chosen.id}: {error}") from error
    shown = run.session.engines[target.engine].backend.render(request)
    if shown is None:
        raise UsageError(f"backend {recipe.engines[target.engine].backend!r} renders prompts on the server only")
    return shown


def _find_record(run: Run, record: str | None) -> Record:
    for row in add_marks(run.source, read_input(run.source), whole=False):
        if isinstance(row, Record) and record in (None, row.id):
            return row
    raise UsageError(f"no record {record!r} in {run.source.path}" if record else f"no record in {run.source.path}")


def _find_row(output: Path, record: str | None) -> Record:
    with Journal(output) as journal:
        found = journal.outcomes
        if record is None:
            # A record that was dropped has the fields of the steps before.
            states = (RecordStatus.DONE, RecordStatus.DROPPED, RecordStatus.FAILED)
            rows = list(itertools.islice((row for state in states for row in found.rows(0, states=(state,))), 1))
        else:
            rows = [row for row in found.find(record) if row.id == record]
    if not rows:
        raise UsageError(f"no record {record!r} in {output}" if record else f"no record in {output}")
    return rows[-1].record()


def preview_request(run: Run, step: AnyStep, record: Record) -> Request:
    """Returns the first request of a step for a record of the source.

    Fields that only earlier steps would write are in the prompt as `<field>`.

    Raises:
        UsageError: if the step calls no model.
    """
    if step.engine is None:
        raise UsageError(f"step {step.name!r} calls no model")
    first: Fields = {}
    if isinstance(step, ForEach):  # the call for the first item
        items = record.fields.get(step.items.field)
        first = step.fields_of(items[0]) if isinstance(items, list) and items else {}
        step = step.inner
    fields = {name: f"<{name}>" for name in step.reads if name != "images"} | record.fields | first
    store = ImageStore(run.source.policy())
    try:
        return asyncio.run(_catch(run, step, Record(record.id, fields, record.seq), store))
    finally:
        store.close()


async def _catch(run: Run, step: AnyStep, record: Record, store: ImageStore) -> Request:
    view = run.session.engines[str(step.engine)].backend.view
    gateway = CatchingGateway(run.plan.recipe.run.seed, store, view)
    try:
        await step.run(record, Context(gateway, step, record))
    except _Caught as caught:
        return caught.request
    raise UsageError(f"step {step.name!r} sends no prompt for record {record.id}")
