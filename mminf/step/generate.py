"""`generate`: calls a model and writes its answer."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from mminf.answer.clean import short
from mminf.cost import Amount, Range
from mminf.errors import ImageError, NoUsableAnswer, RecordError, RequestError, UnusableAnswer
from mminf.recipe.model import TemplateFolders
from mminf.record import Fields, Record
from mminf.step.base import Drop, Outcome, step
from mminf.step.context import Context
from mminf.step.extract import Extraction, check_pattern
from mminf.step.prompt import HistoryField, PromptConfig, PromptStep, continue_chat, cut_off
from mminf.step.retry import raise_worst, retry
from mminf.template import Template
from mminf.turns import Draft


class GenerateConfig(PromptConfig):
    """Settings of steps that write a model's answer."""

    renamed_values: ClassVar[Mapping[str, Mapping[str, Any]]] = {"truncated": {"again": "retry"}}
    reads: str | None = Field(
        None, description="Field whose text is the prompt, after the images; unused with `template` or `prompt`."
    )
    writes: str = Field("response", description="Field for the answer.")
    truncated: bool | Literal["retry"] = Field(
        False,
        description="Answers that reach `max_tokens`: `true` keeps them, `retry` retries, `false` fails the record.",
    )
    drop_if: str | None = Field(
        None,
        description="Python pattern; a record is dropped if its answer matches from the start, for a sentence with "
        "which the prompt allows the model to decline.",
    )
    extract: Extraction | None = Field(
        None, description="Extract fields from the answer; an answer without them is retried."
    )
    empty: bool = Field(False, description="`true` keeps empty answers; `false` retries them.")
    history: HistoryField = Field(
        None, description="Field with the earlier turns of the conversation; the images belong to its first turn."
    )
    n: int = Field(1, ge=1, description="Number of answers per record; more than one needs `into`.")
    into: str | None = Field(
        None, description="Field for the list of all answers, each an object with the written fields."
    )
    nll: str | None = Field(
        None, description="Field for the negative log-likelihood of the answer, in nats, averaged over its tokens."
    )

    reasoning: str | None = Field(
        None, description="Field for the model's reasoning; an answer without reasoning is retried."
    )

    @field_validator("drop_if")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        return value if value is None else check_pattern(value)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.n > 1 and self.into is None:
            raise ValueError("n > 1 needs `into`, a field for the list of answers (`choose` selects one of them)")
        if self.n > 1 and self.sampling.temperature == 0:
            raise ValueError("n > 1 needs a temperature above 0; otherwise all answers are the same")
        return self


_CIRCUMSTANCES = (RequestError, ImageError)
G = TypeVar("G", bound=GenerateConfig)


class BaseGenerate(PromptStep[G]):
    """Base of the steps that call a model and write its answer."""

    def _find_template(self, config: G, folders: TemplateFolders) -> Template:
        given = config.template is not None or config.prompt is not None
        self._asked = None if given else config.reads
        if self._asked is None:
            return super()._find_template(config, folders)
        return Template("{{ images }}{{ " + self._asked + " }}", f"reads: {self._asked}")

    @property
    def gate(self) -> bool:
        return self.config.drop_if is not None

    @property
    def reads(self) -> frozenset[str]:
        return super().reads | ({self.config.history.field} if self.config.history else frozenset())

    @property
    def writes(self) -> frozenset[str]:
        if self.config.into is not None:
            return frozenset([self.config.into])
        extract = self.config.extract
        fields = frozenset([self.config.writes]) if extract is None else extract.fields(self.config.writes)
        return fields.union(name for name in (self.config.nll, self.config.reasoning) if name is not None)

    @property
    def calls_per_record(self) -> Amount:
        return Amount(Range.of(self.config.n))

    def list_lengths(self, known: Mapping[str, Range]) -> Mapping[str, Range]:
        if self.config.into is not None:
            return {self.config.into: Range(1, self.config.n)}  # answers that can't be used are left out
        return {} if self.config.extract is None else self.config.extract.list_lengths()

    def drafts(self, record: Record) -> tuple[Draft, ...]:
        self._check_question(record)
        turns = super().drafts(record)
        if self.config.history is None:
            return turns
        shown = bool(self.shown)
        return continue_chat(self.config.history.drafts(record), turns, shown=shown)

    def _check_question(self, record: Record) -> None:
        """Raises RecordError if the field that is the prompt is missing or empty: the model would make one up."""
        name = self._asked
        if name is None:
            return
        asked = record[name]
        if asked is None:
            raise RecordError(f"field {name!r} is null")
        if isinstance(asked, str) and not asked.strip():
            raise RecordError(f"field {name!r} is empty")

    async def run(self, record: Record, ctx: Context) -> Outcome:
        if self.config.into is None:
            return await self._answer(record, ctx, 0)
        drawn = await asyncio.gather(
            *(self._sample(record, ctx, number) for number in range(self.config.n)), return_exceptions=True
        )
        # A temporary failure must not remove an answer permanently.
        raise_worst(item for item in drawn if not isinstance(item, RecordError) or isinstance(item, _CIRCUMSTANCES))
        answers = [item for item in drawn if isinstance(item, dict)]
        if answers:
            return {self.config.into: answers}
        if declined := [item for item in drawn if isinstance(item, Drop)]:
            return declined[0]
        kind = NoUsableAnswer if all(isinstance(item, NoUsableAnswer) for item in drawn) else RecordError
        raise kind(f"none of {self.config.n} answers can be used; the first: {drawn[0]}")

    async def _sample(self, record: Record, ctx: Context, number: int) -> Fields | Drop:
        """Draws one of several answers, and retries it alone if it can't be used."""
        # From 0, even if `mminf retry` wrote attempts off: readable answers of these attempts are in the journal.
        return await retry(
            lambda attempt: self._answer(record, ctx.fork(record, attempt), number),
            ctx.attempt + self.config.attempts,
            before=ctx.count_retry,
        )

    async def _answer(self, record: Record, ctx: Context, sample: int) -> Fields | Drop:
        sampling = self.config.sampling
        if self.config.nll is not None:
            sampling = sampling.model_copy(update={"logprobs": True})
        answer = await self.ask(record, ctx, sampling, sample)
        if not answer.complete and not (self.config.truncated is True and answer.finish_reason == "length"):
            if self.config.truncated == "retry" or answer.finish_reason != "length":
                raise UnusableAnswer(cut_off(answer))
            # A retry would be as long, and cost as much.
            raise NoUsableAnswer(f"{cut_off(answer)}; increase it for step {self.name!r}, or set `truncated: true`")
        text = self.echo.without_cue(answer.text.strip())
        if not text and not self.config.empty:
            raise UnusableAnswer("answer is empty")
        if self.config.drop_if is not None and re.match(self.config.drop_if, text):
            return Drop(f"the answer is {short(text)}")
        written = self.written(text)
        self.echo.refuse(written)
        if self.config.nll is not None:
            written[self.config.nll] = _nll(answer.logprobs, self.name)
        if self.config.reasoning is not None:
            if not (answer.reasoning or "").strip():
                raise UnusableAnswer("the model answered without reasoning")
            written[self.config.reasoning] = str(answer.reasoning).strip()
        return written

    def written(self, text: str) -> Fields:
        """Returns the fields of an answer. Raises UnusableAnswer if one is missing."""
        if self.config.extract is None:
            return {self.config.writes: text}
        return self.config.extract.apply(text, self.config.writes)


def _nll(logprobs: tuple[float, ...] | None, name: str) -> float:
    if not logprobs:
        raise RecordError(f"the engine of step {name!r} returned no log-probabilities, which `nll` needs")
    mean = -sum(logprobs) / len(logprobs)
    if not math.isfinite(mean):
        raise RecordError(f"the engine of step {name!r} returned log-probabilities that are not finite, for `nll`")
    return round(mean, 6)


@step("generate")
class Generate(BaseGenerate[GenerateConfig]):
    """Calls a model and writes its answer."""
