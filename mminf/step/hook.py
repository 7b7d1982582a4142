"""`hook`: the prompt ends inside the user turn, so that the model samples an instruction.

With images, this is the hooking prompt of Oasis (arXiv 2503.08741, section 3); without images, it is Magpie
(arXiv 2406.08464).
"""

from __future__ import annotations

import asyncio
from typing import TypeVar

from pydantic import Field, model_validator

from mminf.cost import Amount, Range
from mminf.errors import RecordError, UnusableAnswer
from mminf.model_type import is_type
from mminf.recipe.config import EngineConfig, Sampling, StepConfig
from mminf.recipe.model import TemplateFolders
from mminf.record import Json, Record
from mminf.step.base import Outcome, Step, step
from mminf.step.context import Context
from mminf.step.prompt import HistoryField, continue_chat, cut_off, with_system
from mminf.step.retry import AttemptsUsedUp, raise_worst, retry
from mminf.template import Shown, images_in
from mminf.turns import REST, Draft, Turn, place_images


class HookConfig(StepConfig):
    engine: str = Field(description="Engine that samples.")
    writes: str = Field("sampled_text", description="Field for the sampled text.")
    images: Shown = Field(
        True,
        description="Show the record's images: with `true`, a record without images fails; `optional` shows the "
        "images, if there are any; `false` shows none.",
    )
    history: HistoryField = Field(
        None, description="Field with the turns of the conversation so far; the model samples the next user turn."
    )
    n: int = Field(1, ge=1, description="Number of samples per record; more than one makes child records.")
    system: str | None = Field(
        None, description="System turn; '' for none. By default the model's own default is used."
    )
    truncated: bool = Field(True, description="`true` keeps samples that reach `max_tokens`; `false` retries them.")
    sampling: Sampling = Field(
        default_factory=lambda: Sampling(temperature=1.0, top_k=20, top_p=1.0, max_tokens=512, min_tokens=2),
        description="Sampling parameters.",
    )
    sampling_for: dict[str, dict[str, object]] = Field(
        default_factory=dict,
        description="Model type, such as `qwen2.5-vl` -> sampling parameters that override `sampling` for such models.",
    )

    @model_validator(mode="after")
    def _check_sampling_for(self) -> HookConfig:
        for settings in self.sampling_for.values():
            Sampling.model_validate({**self.sampling.model_dump(), **settings})
        return self


H = TypeVar("H", bound=HookConfig)


class BaseHook(Step[H]):
    """Base of the steps that sample a text from an open user turn."""

    @property
    def gate(self) -> bool:
        return self.config.n > 1

    @property
    def reads(self) -> frozenset[str]:
        history = [self.config.history.field] if self.config.history else []
        return super().reads.union(["images"] if self.config.images is True else [], history)

    @property
    def uses(self) -> frozenset[str]:
        return self.reads | (frozenset(["images"]) if self.config.images else frozenset())

    @property
    def calls_per_record(self) -> Amount:
        return Amount(Range.of(self.config.n))

    @property
    def children_per_record(self) -> Amount:
        return Amount(Range(1, self.config.n))  # samples that can't be used are left out

    def __init__(self, config: H, folders: TemplateFolders) -> None:
        super().__init__(config, folders)
        self.sampling = config.sampling

    def describe(self) -> dict[str, Json]:
        return {**super().describe(), "sampling": self.sampling.model_dump(mode="json")}

    def check_engine(self, backend: object, config: EngineConfig) -> None:
        self._sampling_for(config)
        check = getattr(backend, "check_open_turn", None)
        if check is not None:
            check(config)

    def use_engine(self, config: EngineConfig) -> None:
        self.sampling = self._sampling_for(config)

    def _sampling_for(self, config: EngineConfig) -> Sampling:
        """Returns how tokens are drawn with a model. Raises ValueError if its settings contradict each other."""
        sampling = self.config.sampling
        for kind, settings in self.config.sampling_for.items():
            if is_type(config, kind):
                sampling = Sampling.model_validate({**sampling.model_dump(), **settings})
        return sampling

    async def run(self, record: Record, ctx: Context) -> Outcome:
        images = images_in(record.fields) if self.config.images else []
        if self.config.images is True and not images:
            raise RecordError("the record has no image to hook (`images: optional` samples without one)")
        earlier = self.config.history.drafts(record) if self.config.history else ()
        chat = (*continue_chat(earlier, (), shown=bool(images)), Draft("user", () if earlier else (REST,)))
        turns = with_system(place_images(chat, len(images)), self.config.system)
        drawn = await asyncio.gather(
            *(self._sample(turns, images, number, ctx) for number in range(self.config.n)), return_exceptions=True
        )
        raise_worst(text for text in drawn if not isinstance(text, AttemptsUsedUp))
        samples = [{self.config.writes: text} for text in drawn if isinstance(text, str)]
        if not samples:
            raise RecordError(f"no usable sample: {drawn[0]}")
        return samples[0] if self.config.n == 1 else samples

    async def _sample(self, turns: tuple[Turn, ...], images: list[str], number: int, ctx: Context) -> str:
        """Draws one sample, and retries it alone if it can't be used."""

        async def attempt(again: int) -> str:
            sampled = await ctx.generate(
                turns, images=images, sampling=self.sampling, open_turn="user", sample=number, again=again
            )
            if not sampled.complete and not (self.config.truncated and sampled.finish_reason == "length"):
                raise UnusableAnswer(cut_off(sampled))
            if not sampled.text.strip():
                raise UnusableAnswer("sample is empty")
            return sampled.text.strip()

        return await retry(
            attempt, self.config.attempts, before=lambda number, error: ctx.count_retry(ctx.attempt + number, error)
        )


@step("hook")
class Hook(BaseHook[HookConfig]):
    """Samples an instruction from a prompt that ends inside the user turn."""
