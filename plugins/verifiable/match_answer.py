"""`match_answer`: compares an answer with the solution, without a model."""

from __future__ import annotations

from pydantic import Field

from mminf.step import Context, Outcome, Record, Step, StepConfig, step

from .answers import is_right, tagged_answer


class MatchAnswerConfig(StepConfig):
    """Settings of `match_answer`."""

    reads: list[str] = Field(
        default_factory=lambda: ["answer", "solution"],
        min_length=2,
        max_length=2,
        description="Fields with the model's answer and with the solution.",
    )
    kind: str = Field(
        "kind",
        description="Field with the kind of the solution: `choice`, `number` or `text`; inferred if it is missing.",
    )
    tags_only: bool = Field(
        False, description="Read only an answer in `<answer>` tags; all others, such as truncated ones, are wrong."
    )
    writes: str = Field("right", description="Field for true or false.")


@step("match_answer")
class MatchAnswer(Step[MatchAnswerConfig]):
    """Writes whether the final answer in a text is the solution: the same letter, number or short text."""

    @property
    def uses(self) -> frozenset[str]:
        """The texts, and the kind."""
        return self.reads | {self.config.kind}

    async def run(self, record: Record, ctx: Context) -> Outcome:
        """Writes the result. An answer that can't be read is wrong."""
        answer, solution = (record.text(name) for name in self.config.reads)
        kind = record.get(self.config.kind)
        if self.config.tags_only and tagged_answer(answer) is None:
            return {self.config.writes: False}
        return {self.config.writes: is_right(answer, solution, kind if isinstance(kind, str) else None)}
