"""What a step gets beside its record: calls to its engine that the journal memoises."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mminf.engine.answers import present, separate
from mminf.engine.budget import Budget
from mminf.engine.engines import Engine, Pool
from mminf.engine.stats import RunStats
from mminf.errors import EngineError, ImageError, Interrupted, Parked
from mminf.image import ImageStore, LoadedImage, decode_image, read_image
from mminf.journal import Call, Journal
from mminf.journal.codec import clean
from mminf.recipe.model import StepLike
from mminf.record import Record, canonical_json, derive_seed
from mminf.request import Generation, Request, Sampling
from mminf.turns import ImagePart, Turn

NO_SAMPLING = Sampling(max_tokens=1)


@dataclass(slots=True)
class Shared:
    """What all contexts of a run share."""

    seed: int
    journal: Journal
    images: ImageStore
    engines: dict[str, Engine]
    pool: Pool
    stats: RunStats
    retries: dict[tuple[str, str], int] = field(default_factory=dict)
    budget: Budget | None = None
    _keys: dict[str, Any] = field(default_factory=dict)
    _met: set[Engine] = field(default_factory=set)

    def memo_key(self, step: StepLike, engine: Engine, request: Request, chat: bytes) -> bytes:
        """Returns the key under which the journal keeps an answer: all that the answer depends on (docs/design.md).

        Args:
            chat: the request's chat, images by digest.
        """
        begun = self._keys.get(step.name)
        if begun is None:
            parts = canonical_json([step.type, step.version, engine.identity])
            begun = self._keys[step.name] = hashlib.blake2b(parts, digest_size=16)
        key = begun.copy()
        key.update(chat)
        key.update(request.settings())
        found: bytes = key.digest()
        return found

    def keep_tokens(self, engine: Engine) -> None:
        """Stores a loaded model's special tokens in the journal: datasets are written after it is unloaded."""
        if engine in self._met:
            return
        self._met.add(engine)
        if tokens := engine.backend.special_tokens():
            self.journal.keep_tokens(engine.stats.model, tokens)

    def check_draining(self) -> None:
        """Raises Interrupted if no new call may start."""
        if self.stats.draining:
            raise Interrupted("the run is draining")

    def begin_call(self) -> None:
        """Counts a call against the budget. Raises Interrupted, and lets the run end, if there is none left."""
        if self.budget is not None and self.stats.stopped is None:
            self.stats.stop(self.budget.begin())
        if self.stats.stopped is not None:
            raise Interrupted(self.stats.stopped)

    def end_call(self, engine: str, answer: Generation | None) -> None:
        """Counts what a call has spent; None: it got no answer."""
        if self.budget is not None:
            self.budget.end(engine, answer)


class StepContext:
    """The context of one attempt of one step at one record."""

    __slots__ = ("_random", "attempt", "record", "shared", "step")

    def __init__(self, shared: Shared, step: StepLike, record: Record, attempt: int) -> None:
        self.shared = shared
        self.step = step
        self.record = record
        self.attempt = attempt
        self._random: random.Random | None = None

    @property
    def seed(self) -> int:
        return derive_seed(self.shared.seed, self.record.id, self.step.name, self.attempt)

    @property
    def random(self) -> random.Random:
        if self._random is None:
            self._random = random.Random(self.seed)
        return self._random

    def fork(self, record: Record, attempt: int) -> StepContext:
        return StepContext(self.shared, self.step, record, attempt)

    async def open_image(self, uri: str) -> LoadedImage:
        image = await self.shared.images.open(uri)
        await self.shared.images.decode(image)
        return image

    def read_image(self, uri: str) -> Any:
        policy = self.shared.images.policy
        return decode_image(read_image(uri, policy), uri, policy.max_pixels)[0]

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
        seed = derive_seed(self.shared.seed, self.record.id, self.step.name, self.attempt + again, sample)
        return (await self._call(turns, images, sampling, open_turn, seed, sample, again, ends))[1]

    async def embed(self, turns: Sequence[Turn], *, images: Sequence[str] = ()) -> tuple[str, bool, int]:
        # Without a seed: the same text has the same vector, whoever asks.
        key, answer = await self._call(turns, images, NO_SAMPLING, None, 0, 0, 0)
        if answer.vector is None and self.shared.journal.vector(key.hex()) is None:
            raise EngineError(f"engine {self.step.engine!r} makes no embeddings; use backend `encoder`")
        return key.hex(), answer.finish_reason == "length", answer.prompt_tokens

    async def _call(
        self,
        turns: Sequence[Turn],
        images: Sequence[str],
        sampling: Sampling,
        open_turn: str | None,
        seed: int,
        sample: int,
        again: int,
        ends: Sequence[str] = (),
    ) -> tuple[bytes, Generation]:
        if self.step.engine is None:
            raise EngineError(f"step {self.step.name!r} asks a model, but has no engine")
        engine = self.shared.engines[self.step.engine]
        opened = [await self.shared.images.open(uri) for uri in images]
        _check_parts(turns, len(opened))
        request = Request(tuple(turns), tuple(opened), sampling, open_turn, seed, tuple(ends))
        stats = self.shared.stats.steps[self.step.name]
        chat = request.chat()
        key = self.shared.memo_key(self.step, engine, request, request.chat(digests=True) if opened else chat)
        reasoning = engine.backend.config.reasoning
        if (known := self.shared.journal.recall(key)) is not None:
            stats.recalled += 1
            # Journals of earlier versions have the reasoning in the answer.
            return key, present(separate(known, request), reasoning)
        self.shared.check_draining()
        if not self.shared.pool.admit(engine):
            raise Parked(f"{engine.stats.model} is not loaded")
        for image in opened:
            await self.shared.images.decode(image, engine.backend.view)
        self.shared.begin_call()
        given = None
        try:
            given, seconds = await self._ask(engine, request, chat)
        finally:
            self.shared.end_call(self.step.engine, given)
        answer = separate(given, request)
        if (text := clean(answer.text)) != answer.text:
            # As the journal will give it back: a lone surrogate must not make a resumed run another one.
            answer = dataclasses.replace(answer, text=text)
        call = Call(key, self.step.name, self.record.id, self.attempt + again, sample, answer, seconds, chat)
        await self.shared.journal.remember(call)
        stats.calls += 1
        stats.tokens += answer.completion_tokens
        return key, present(answer, reasoning)

    async def _ask(self, engine: Engine, request: Request, chat: bytes) -> tuple[Generation, float]:
        try:
            await engine.ready()
        except EngineError as error:
            if self.shared.pool.put_apart(engine, error):
                raise Parked(f"{engine.stats.model} is not loaded") from error
            raise
        self.shared.keep_tokens(engine)
        if not self.shared.journal.knows_prompt(self.step.name):
            await self._show_prompt(engine, request, chat)
        started = time.monotonic()
        answer = await engine.generate(request, self.shared.check_draining)
        return answer, time.monotonic() - started

    async def _show_prompt(self, engine: Engine, request: Request, chat: bytes) -> None:
        journal, name = self.shared.journal, self.step.name
        journal.show_prompt(name, chat, None, None)
        try:
            shown = await asyncio.to_thread(engine.backend.render, request)
        except (EngineError, ImportError):
            raise
        except Exception:  # showing a prompt must not fail a record; the call itself will say what is wrong
            return
        if shown is not None:
            journal.show_prompt(name, chat, shown.text, shown.tokens)


def _check_parts(turns: Sequence[Turn], images: int) -> None:
    for turn in turns:
        for part in turn.parts:
            if isinstance(part, ImagePart) and part.index >= images:
                raise ImageError(f"the prompt shows image {part.index + 1}, but the record has {images}")
