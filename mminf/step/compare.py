"""`compare`: a judge decides which of two texts is better, in both orders."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from mminf.answer.verdict import parse_letter
from mminf.cost import Amount, Range
from mminf.errors import UnusableAnswer
from mminf.recipe.config import Sampling
from mminf.recipe.model import TemplateFolders
from mminf.record import Record
from mminf.step.base import Outcome, step
from mminf.step.context import Context
from mminf.step.prompt import PromptConfig, PromptStep, cut_off, images_of, warm, with_system
from mminf.step.retry import raise_worst
from mminf.turns import name_tags

_CHOICES = ["[[A]]", "[[B]]", "[[C]]"]


class CompareConfig(PromptConfig):
    renamed: ClassVar[Mapping[str, str]] = {"first": "reads", "second": "reads"}
    reads: list[str] = Field(min_length=2, max_length=2, description="Fields with the two texts, `[first, second]`.")
    writes: str = Field("better", description="Field for the verdict: `first`, `second` or `tie`.")
    constrain: bool = Field(
        True, description="Constrain the answer to `[[A]]`, `[[B]]` or `[[C]]`, if the backend supports it."
    )
    sampling: Sampling = Field(
        default_factory=lambda: Sampling(max_tokens=1024), description="Sampling parameters; greedy by default."
    )


@step("compare")
class Compare(PromptStep[CompareConfig]):
    """Asks a judge which of two texts is better, A or B, once in each order.

    Judges have a position bias (arXiv 2306.05685, section 3.4). A text is better only if it wins in both orders;
    otherwise the result is a tie. The template shows the texts as `a` and `b`, and asks for `[[A]]`, `[[B]]`, or
    `[[C]]` for a tie.
    """

    def __init__(self, config: CompareConfig, folders: TemplateFolders) -> None:
        super().__init__(config, folders)
        self.sampling = config.sampling
        if config.constrain:
            self.sampling = config.sampling.model_copy(update={"choices": _CHOICES})
        if missing := {"a", "b"} - self.template.uses:
            raise ValueError(f"the template does not show {' and '.join(sorted(missing))}")

    @property
    def reads(self) -> frozenset[str]:
        return (super().reads - {"a", "b"}).union(self.config.reads)

    @property
    def calls_per_record(self) -> Amount:
        return Amount(Range.of(2))

    async def run(self, record: Record, ctx: Context) -> Outcome:
        one, other = (record[name] for name in self.config.reads)
        found = await asyncio.gather(
            self._judge(record, ctx, one, other, 0), self._judge(record, ctx, other, one, 1), return_exceptions=True
        )
        raise_worst(found)
        forth, back = found
        verdict = {("A", "B"): "first", ("B", "A"): "second"}.get((str(forth), str(back)), "tie")
        return {self.config.writes: verdict}

    async def _judge(self, record: Record, ctx: Context, a: object, b: object, sample: int) -> str:
        # The tags in these texts are not image positions in this prompt.
        named = (name_tags(text) if isinstance(text, str) else text for text in (a, b))
        shown = {**record.fields, **dict(zip("ab", named, strict=True))}
        turns = with_system(self.render_for(shown), self.config.system)
        answer = await ctx.generate(
            turns, images=images_of(record, turns), sampling=warm(self.sampling, ctx.attempt), sample=sample
        )
        if not answer.complete:
            raise UnusableAnswer(cut_off(answer))
        return parse_letter(answer.text, "ABC")
