"""`score`: a judge rates a record on an integer scale."""

from __future__ import annotations

import math

from pydantic import Field, model_validator

from mminf.answer.score import parse_score
from mminf.recipe.config import Sampling
from mminf.recipe.model import TemplateFolders
from mminf.record import Fields, Record
from mminf.step.base import Outcome, step
from mminf.step.context import Context
from mminf.step.prompt import PromptConfig, PromptStep


class ScoreConfig(PromptConfig):
    scale: tuple[int, int] = Field((1, 5), description="Lowest and highest score.")
    writes: str = Field("", description="Field for the score; the step's name by default.")
    constrain: bool = Field(
        True, description="Constrain the answer to `[[n]]`, if the backend supports it; `false` lets the judge reason."
    )
    expected: str | None = Field(
        None,
        description="Field for the expected score, weighted by the probabilities of all scores; null if the backend "
        "returns no log-probabilities.",
    )
    sampling: Sampling = Field(
        default_factory=lambda: Sampling(max_tokens=1024), description="Sampling parameters; greedy by default."
    )

    @model_validator(mode="before")
    @classmethod
    def _default_field(cls, data: object) -> object:
        if isinstance(data, dict) and not data.get("writes"):
            return {**data, "writes": data.get("name") or "score"}
        return data

    @model_validator(mode="after")
    def _ordered(self) -> ScoreConfig:
        if not 0 <= self.scale[0] < self.scale[1]:
            raise ValueError(f"scale {list(self.scale)} is not [lowest, highest], with lowest >= 0")
        if self.expected is not None and not self.constrain:
            raise ValueError("`expected` needs `constrain: true`: only then the probabilities of the scores are known")
        return self


@step("score")
class Score(PromptStep[ScoreConfig]):
    """Asks a judge for an integer score; an answer without a readable score is retried.

    A constrained score costs one token on engines in this process. The common prefix of all answers, `[[`, is appended
    to the prompt, and the next token is sampled from the tokens that distinguish the answers. If no single token
    distinguishes them, the whole marker is generated, three or four tokens: on scales to 10, `10` and `1` begin with
    the same token in tokenizers that split numbers into digits.
    """

    def __init__(self, config: ScoreConfig, folders: TemplateFolders) -> None:
        super().__init__(config, folders)
        low, high = config.scale
        changes: dict[str, object] = {}
        if config.constrain:
            changes["choices"] = [f"[[{n}]]" for n in range(low, high + 1)]
        if config.expected is not None:
            changes["logprobs"] = True
        self.sampling = config.sampling.model_copy(update=changes)

    @property
    def writes(self) -> frozenset[str]:
        return super().writes | ({self.config.expected} if self.config.expected else frozenset())

    async def run(self, record: Record, ctx: Context) -> Outcome:
        low, high = self.config.scale
        answer = await self.ask_whole(record, ctx, self.sampling)
        written: Fields = {self.config.writes: parse_score(answer.text, low, high)}
        if self.config.expected is not None:
            written[self.config.expected] = _expected(answer.choice_logprobs, low)
        return written


def _expected(logprobs: tuple[float, ...] | None, low: int) -> float | None:
    if logprobs is None:
        return None
    mean = sum(score * math.exp(value) for score, value in enumerate(logprobs, low))
    return round(mean, 6) if math.isfinite(mean) else None  # some servers send NaN
