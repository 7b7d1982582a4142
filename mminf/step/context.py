"""The context that a step receives in addition to its record: its engine, its seed, its images."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mminf.errors import EngineError, ImageError
from mminf.image import LoadedImage
from mminf.recipe.model import StepLike
from mminf.record import Record, derive_seed
from mminf.request import Generation, Request, Sampling
from mminf.turns import ImagePart, Turn

if TYPE_CHECKING:
    from PIL.Image import Image

NO_SAMPLING = Sampling(max_tokens=1)


class StepCall(NamedTuple):
    """A step's request for a record.

    Attributes:
        attempt: number of the attempt, including attempts that were written off.
        sample: number of the sample, if a step draws several.
    """

    step: StepLike
    record: str
    attempt: int
    sample: int
    request: Request


class Gateway(Protocol):
    """Answers the calls of steps, by the engines and the journal of a run, a catcher for `render`, or a stub.

    Attributes:
        seed: seed of the run.
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
        """Returns whether there is an embedding with that key."""
        ...

    def count_retry(self, step: StepLike) -> None:
        """Counts a retry of a step, an item or a sample, in the statistics of the run."""
        ...


class Context:
    """The context of one attempt of a step for a record.

    Args:
        gateway: answers the step's calls.

    Attributes:
        attempt: 0 for the first attempt, increased by 1 for each retry.
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
        """The seed of the attempt, derived from run seed, record id, step name and attempt."""
        return derive_seed(self._gateway.seed, self._record.id, self._step.name, self.attempt)

    @property
    def random(self) -> random.Random:
        """A random number generator with that seed."""
        if self._random is None:
            self._random = random.Random(self.seed)
        return self._random

    def fork(self, record: Record, attempt: int) -> Context:
        """Returns a context for a part of the record with its own id, and therefore its own seeds."""
        return Context(self._gateway, self._step, record, attempt)

    def count_retry(self, number: int, error: Exception) -> None:
        """Counts a retry of an item or a sample; pass it as `before` to `retry`.

        Args:
            number: of the retry. Those that were written off have been counted when they were made.
            error: of the attempt before it.
        """
        if number > self.attempt:
            self._gateway.count_retry(self._step)

    async def open_image(self, uri: str) -> LoadedImage:
        """Returns a decoded image. Raises ImageError if it can't be read or decoded."""
        return await self._gateway.open_image(uri)

    def read_image(self, uri: str) -> Image:
        """Returns a decoded image (PIL, RGB) synchronously, for dataset steps. Raises ImageError if that fails."""
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
        """Calls the step's engine, or returns the answer from the journal.

        Args:
            turns: the chat; its image parts index `images`.
            images: paths or URIs.
            open_turn: `user` ends the prompt inside the last user turn, `assistant` inside the answer.
            sample: number of the sample if a step draws several; each has its own seed.
            again: number of the retry if the step itself retries within one attempt.
            ends: stop strings; the step reads nothing after them.

        Raises:
            RecordError: if this request fails.
        """
        attempt = self.attempt + again
        seed = derive_seed(self._gateway.seed, self._record.id, self._step.name, attempt, sample)
        request = Request(tuple(turns), (), sampling, open_turn, seed, tuple(ends))
        return (await self._call(request, images, attempt, sample))[1]

    async def embed(self, turns: Sequence[Turn], *, images: Sequence[str] = ()) -> tuple[str, bool, int]:
        """Embeds a text or an image with the step's engine, or finds the vector in the journal.

        Returns:
            The vector's key in the journal; whether the text was truncated; its number of tokens.

        Raises:
            RecordError: if this request fails.
        """
        # Without a seed: the same text has the same vector in every record.
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
        images = tuple(images)
        _check_parts(request.turns, len(images))
        if images:
            opened = [await self._gateway.reference_image(uri) for uri in images]
            request = replace(request, images=tuple(opened))
        return await self._gateway.answer(StepCall(self._step, self._record.id, attempt, sample, request))


def _check_parts(turns: Sequence[Turn], images: int) -> None:
    for turn in turns:
        for part in turn.parts:
            if isinstance(part, ImagePart) and part.index >= images:
                raise ImageError(f"the prompt shows image {part.index + 1}, but the record has {images}")
