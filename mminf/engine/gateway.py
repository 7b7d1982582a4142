"""Answers the calls of steps: from the journal, or by an engine."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from mminf.engine.answers import present, separate
from mminf.engine.budget import Budget
from mminf.engine.engines import Engine
from mminf.engine.pool import Pool
from mminf.engine.stats import RunStats
from mminf.engine.tally import count_answer
from mminf.errors import EngineError, EngineNotLoaded, Interrupted
from mminf.image import ImageStore, LoadedImage, decode_image, read_image
from mminf.journal import Call, Journal
from mminf.journal.codec import clean
from mminf.recipe.model import StepLike
from mminf.record import canonical_json
from mminf.request import Generation, Request
from mminf.step.context import StepCall

if TYPE_CHECKING:
    from PIL.Image import Image


class _Question(NamedTuple):
    """A call and its key in the memo. `chat` is its chat as JSON, images by URI."""

    call: StepCall
    engine: Engine
    chat: bytes
    key: bytes


class JournalGateway:
    """Answers calls from the memo, or by an engine, whose answer is written to the memo.

    Args:
        seed: seed of the run.
        journal: journal of the run or of its shard.
        images: reads the images of requests.
        engines: engines of the recipe, by name.
        pool: decides which engines may be loaded.
        stats: counts calls.
        budget: limits on calls, tokens and money; None: no limit.
    """

    def __init__(
        self,
        seed: int,
        journal: Journal,
        images: ImageStore,
        engines: Mapping[str, Engine],
        pool: Pool,
        stats: RunStats,
        budget: Budget | None = None,
    ) -> None:
        self._seed = seed
        self._memo = journal.memo
        self._meta = journal.meta
        self._images = images
        self._engines = engines
        self._pool = pool
        self._stats = stats
        self._budget = budget
        self._keys = MemoKeys()
        self._met: set[Engine] = set()

    @property
    def seed(self) -> int:
        return self._seed

    async def reference_image(self, uri: str) -> LoadedImage:
        return await self._images.open(uri)

    async def open_image(self, uri: str) -> LoadedImage:
        image = await self._images.open(uri)
        await self._images.decode(image)
        return image

    def read_image(self, uri: str) -> Image:
        policy = self._images.policy
        return decode_image(read_image(uri, policy), uri, policy.max_pixels)[0]

    def has_vector(self, key: str) -> bool:
        return self._memo.vector(key) is not None

    def count_retry(self, step: StepLike) -> None:
        self._stats.steps[step.name].count_retry()

    async def answer(self, call: StepCall) -> tuple[bytes, Generation]:
        """Returns the key and the answer of a call.

        Raises:
            EngineNotLoaded: if the engine is not loaded, and there is no room for it.
            Interrupted: if no new call may start.
            EngineError: if the engine can't be loaded.
            RecordError: if this request can't be answered.
        """
        name = call.step.engine
        assert name is not None, "Context has checked it"
        engine = self._engines[name]
        request = call.request
        chat = request.chat()
        key = self._keys.key(call.step, engine, request, request.chat(digests=True) if request.images else chat)
        question = _Question(call, engine, chat, key)
        if (known := self._memo.find(key)) is not None:
            self._stats.steps[call.step.name].count_hit()
            # Journals of earlier versions have the reasoning in the answer.
            answer = separate(known, request)
        else:
            answer = await self._ask(question, name)
        if count_answer(call.step, answer, call.attempt, recalled=known is not None):
            self._stats.count_answered(answer)
        return key, present(answer, engine.backend.config.reasoning)

    async def _ask(self, question: _Question, name: str) -> Generation:
        engine, request = question.engine, question.call.request
        self._check_draining()
        if not self._pool.admit(engine):
            raise EngineNotLoaded(f"{engine.stats.model} is not loaded")
        if not engine.loaded:
            for image in request.images:  # a broken image fails before a model is loaded for it
                await self._images.check(image)
        self._begin_call()
        given = None
        try:
            given = await self._generate(question)
        finally:
            if self._budget is not None:
                self._budget.end(name, given)
        answer = separate(given, request)
        if (text := clean(answer.text)) != answer.text:
            # The text that the journal will return: a lone surrogate must not change the result of a resumed run.
            answer = dataclasses.replace(answer, text=text)
        call = question.call
        await self._memo.add(
            Call(
                question.key,
                call.step.name,
                call.record,
                call.attempt,
                call.sample,
                answer,
                answer.seconds,
                question.chat,
            )
        )
        self._stats.steps[call.step.name].count_call(answer)
        return answer

    def _check_draining(self) -> None:
        if self._stats.draining:
            raise Interrupted("the run is draining")

    def _begin_call(self) -> None:
        """Counts a call against the budget. Raises Interrupted, and stops the run, if it is used up."""
        if self._budget is not None and self._stats.stopped is None:
            self._stats.stop(self._budget.begin())
        if self._stats.stopped is not None:
            raise Interrupted(self._stats.stopped)

    async def _generate(self, question: _Question) -> Generation:
        engine = question.engine
        try:
            await engine.ready()
        except EngineError as error:
            if self._pool.retry_alone(engine, error):
                raise EngineNotLoaded(f"{engine.stats.model} is not loaded") from error
            raise
        for image in question.call.request.images:  # only a loaded model tells the size that it wants
            await self._images.decode(image, engine.view)
        self._keep_tokens(engine)
        if not self._memo.knows_prompt(question.call.step.name):
            await self._keep_prompt(question)
        return await engine.generate(question.call.request, self._check_draining)

    def _keep_tokens(self, engine: Engine) -> None:
        """Writes a loaded model's special tokens: datasets are written after it is unloaded."""
        if engine in self._met:
            return
        self._met.add(engine)
        if tokens := engine.backend.special_tokens():
            self._meta.keep_tokens(engine.stats.model, tokens)

    async def _keep_prompt(self, question: _Question) -> None:
        name = question.call.step.name
        self._memo.add_prompt(name, question.chat, None, None)
        try:
            shown = await asyncio.to_thread(question.engine.backend.render, question.call.request)
        except (EngineError, ImportError):
            raise
        except Exception:  # an error in showing a prompt must not fail a record; the call itself reports it
            return
        if shown is not None:
            self._memo.add_prompt(name, question.chat, shown.text, shown.tokens)


class MemoKeys:
    """Computes the keys of the memo: digests of everything that an answer depends on (docs/design.md)."""

    def __init__(self) -> None:
        self._begun: dict[str, hashlib.blake2b] = {}

    def key(self, step: StepLike, engine: Engine, request: Request, chat: bytes) -> bytes:
        """Returns the key of a call.

        Args:
            chat: the request's chat, images by digest.
        """
        begun = self._begun.get(step.name)
        if begun is None:
            parts = canonical_json([step.type, step.version, engine.identity])
            begun = self._begun[step.name] = hashlib.blake2b(parts, digest_size=16)
        key = begun.copy()
        key.update(chat)
        key.update(request.settings())
        return key.digest()
