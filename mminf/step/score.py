"""`score`: a judge rates a record on an integer scale."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from mminf.recipe.config import Sampling
from mminf.record import Record
from mminf.step.base import Context, Outcome, step
from mminf.step.parse import parse_score
from mminf.step.prompt import PromptConfig, PromptStep


class ScoreConfig(PromptConfig):
    scale: tuple[int, int] = Field((1, 5), description="Lowest and highest score.")
    writes: str = Field("", description="Field for the score; the step's name by default.")
    constrain: bool = Field(
        True, description="Let the judge answer `[[n]]` and nothing else, where the backend can; false lets it reason."
    )
    sampling: Sampling = Field(
        default_factory=lambda: Sampling(max_tokens=1024), description="How tokens are drawn; greedy by default."
    )

    @model_validator(mode="before")
    @classmethod
    def _default_field(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("writes"):
            return {**data, "writes": data.get("name") or "score"}
        return data

    @model_validator(mode="after")
    def _ordered(self) -> ScoreConfig:
        if not 0 <= self.scale[0] < self.scale[1]:
            raise ValueError(f"scale {list(self.scale)} is not [lowest, highest]")
        return self


@step("score")
class Score(PromptStep[ScoreConfig]):
    """Asks a judge for an integer score; asks again where it can't read one."""

    async def run(self, record: Record, ctx: Context) -> Outcome:
        low, high = self.config.scale
        sampling = self.config.sampling
        if self.config.constrain:
            sampling = sampling.model_copy(update={"choices": [f"[[{n}]]" for n in range(low, high + 1)]})
        answer = await self.ask(record, ctx, sampling)
        return {self.config.writes: parse_score(answer.text, low, high)}
