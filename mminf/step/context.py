"""What a step receives next to its record: its engine, its seed, its images."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from mminf.errors import EngineError, ImageError
from mminf.image import LoadedImage
from mminf.recipe.model import StepLike
from mminf.record import Record, derive_seed
from mminf.request import Generation, Request, Sampling
from mminf.turns import ImagePart, Turn

if TYPE_CHECKING:
    from PIL.Image import Image

NO_SAMPLING = Sampling(max_tokens=1)


@dataclass(frozen=True, slots=True)
class StepCall:
    """A step's request for a record.

    Attributes:
        attempt: of the step, with those that were written off.
        sample: number of the sample where a step draws several.
    """

    step: StepLike
    record: str
    attempt: int
    sample: int
    request: Request


class Gateway(Protocol):
    """What answers the calls of steps: the engines and the journal of a run, a catcher for `render`, or a stub.

    Attributes:
        seed: of the run.
    """

    @property
    def seed(self) -> int: ...

    async def answer(self, call: StepCall) -> tuple[bytes, Generation]:
        """Returns the answer to a call, and its key in the journal."""
        ...

    async def reference_image(self, uri: str) -> LoadedImage:
        """Returns an image for a request, not decoded yet. Raises ImageError."""
        ...

    async def open_image(self, uri: str) -> LoadedImage:
        """Returns a decoded image. Raises ImageError."""
        ...

    def read_image(self, uri: str) -> Image:
        """Returns a decoded image at once, RGB. Raises ImageError."""
        ...

    def has_vector(self, key: str) -> bool:
        """Returns whether there is an embedding of that key."""
        ...


class StepContext:
    """The context of one attempt of one step at one record.

    Args:
        gateway: answers its calls.
        attempt: 0 at the first try.
    """

    __slots__ = ("_gateway", "_random", "_record", "_step", "attempt")

    def __init__(self, gateway: Gateway, step: StepLike, record: Record, attempt: int = 0) -> None:
        self._gateway = gateway
        self._step = step
        self._record = record
        self._random: random.Random | None = None
        self.attempt = attempt

    @property
    def seed(self) -> int:
        return derive_seed(self._gateway.seed, self._record.id, self._step.name, self.attempt)

    @property
    def random(self) -> random.Random:
        if self._random is None:
            self._random = random.Random(self.seed)
        return self._random

    def fork(self, record: Record, attempt: int) -> StepContext:
        return StepContext(self._gateway, self._step, record, attempt)

    async def open_image(self, uri: str) -> LoadedImage:
        return await self._gateway.open_image(uri)

    def read_image(self, uri: str) -> Image:
        return self._gateway.read_image(uri)

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
        attempt = self.attempt + again
        seed = derive_seed(self._gateway.seed, self._record.id, self._step.name, attempt, sample)
        request = Request(tuple(turns), (), sampling, open_turn, seed, tuple(ends))
        return (await self._call(request, images, attempt, sample))[1]

    async def embed(self, turns: Sequence[Turn], *, images: Sequence[str] = ()) -> tuple[str, bool, int]:
        # Without a seed: the same text has the same vector, whatever record has it.
        request = Request(tuple(turns), (), NO_SAMPLING, None, 0)
        key, answer = await self._call(request, images, self.attempt, 0)
        if answer.vector is None and not self._gateway.has_vector(key.hex()):
            raise EngineError(f"engine {self._step.engine!r} makes no embeddings; use backend `encoder`")
        return key.hex(), answer.finish_reason == "length", answer.prompt_tokens

    async def _call(
        self, request: Request, images: Sequence[str], attempt: int, sample: int
    ) -> tuple[bytes, Generation]:
        if self._step.engine is None:
            raise EngineError(f"step {self._step.name!r} calls a model, but has no engine")
        opened = [await self._gateway.reference_image(uri) for uri in images]
        _check_parts(request.turns, len(opened))
        if opened:
            request = replace(request, images=tuple(opened))
        return await self._gateway.answer(StepCall(self._step, self._record.id, attempt, sample, request))


def _check_parts(turns: Sequence[Turn], images: int) -> None:
    for turn in turns:
        for part in turn.parts:
            if isinstance(part, ImagePart) and part.index >= images:
                raise ImageError(f"the prompt shows image {part.index + 1}, but the record has {images}")
