"""`check`: a judge answers a yes/no question about a record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from mminf.answer.verdict import parse_verdict
from mminf.recipe.config import Sampling
from mminf.recipe.model import TemplateFolders
from mminf.record import Fields, Record
from mminf.step.base import Outcome, step
from mminf.step.context import Context
from mminf.step.prompt import PromptConfig, PromptStep

__all__ = ["Check", "CheckConfig", "parse_verdict"]


class CheckConfig(PromptConfig):
    renamed: ClassVar[Mapping[str, str]] = {"chance": "probability"}
    writes: str = Field("", description="Field for true or false; the step's name by default.")
    answers: tuple[str, str] = Field(("Yes", "No"), description="The judge's answers for true and for false.")
    constrain: bool = Field(True, description="Constrain the answer to one of them, if the backend supports it.")
    probability: str | None = Field(
        None, description="Field for the probability of true; null if the backend returns no log-probabilities."
    )
    sampling: Sampling = Field(
        default_factory=lambda: Sampling(max_tokens=1024), description="Sampling parameters; greedy by default."
    )

    @property
    def field(self) -> str:
        return self.writes or self.name


@step("check")
class Check(PromptStep[CheckConfig]):
    """Asks a judge a yes/no question; an answer that says neither or both is retried."""

    def __init__(self, config: CheckConfig, folders: TemplateFolders) -> None:
        super().__init__(config, folders)
        if config.probability is not None and not config.constrain:
            raise ValueError("`probability` needs `constrain: true`")
        changes: dict[str, object] = {"choices": list(config.answers)} if config.constrain else {}
        if config.probability is not None:
            changes["logprobs"] = True
        self.sampling = config.sampling.model_copy(update=changes)

    @property
    def writes(self) -> frozenset[str]:
        return frozenset([self.config.field, *([self.config.probability] if self.config.probability else [])])

    async def run(self, record: Record, ctx: Context) -> Outcome:
        answer = await self.ask_whole(record, ctx, self.sampling)
        written: Fields = {self.config.field: parse_verdict(answer.text, self.config.answers)}
        if self.config.probability is not None:
            written[self.config.probability] = _probability(answer.choice_logprobs)
        return written


def _probability(logprobs: tuple[float, ...] | None) -> float | None:
    """Returns the probability of the first answer; None if it is unknown: some servers send NaN."""
    if logprobs is None or math.isnan(logprobs[0]):
        return None
    return round(math.exp(logprobs[0]), 6)
