"""`check`: a judge answers a yes-or-no question about a record."""

from __future__ import annotations

import math
import re
from typing import Any

from pydantic import Field

from mminf.errors import AskAgain
from mminf.recipe.config import Sampling
from mminf.recipe.model import TemplateFolders
from mminf.record import Record
from mminf.step.base import Context, Outcome, step
from mminf.step.prompt import PromptConfig, PromptStep

_WORD = re.compile(
    r"(?<![\w-])(?:(yes|true|correct|right)|(no|false|incorrect|wrong|not correct))(?![\w-])"
    r"|(是的|正确|是)|(不是|不正确|错误|否)",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"[*_`#>\"'\[\](){}]+")


class CheckConfig(PromptConfig):
    writes: str = Field("", description="Field for true or false; the step's name by default.")
    answers: tuple[str, str] = Field(("Yes", "No"), description="What the judge is to say for true, and for false.")
    constrain: bool = Field(True, description="Let the judge say one of them and nothing else, where the backend can.")
    chance: str | None = Field(None, description="Field for the chance of true; null where the backend can't tell it.")
    sampling: Sampling = Field(
        default_factory=lambda: Sampling(max_tokens=1024), description="How tokens are drawn; greedy by default."
    )

    @property
    def field(self) -> str:
        return self.writes or self.name


@step("check")
class Check(PromptStep[CheckConfig]):
    """Asks a judge a yes-or-no question; asks again where it says neither or both."""

    def __init__(self, config: CheckConfig, folders: TemplateFolders) -> None:
        super().__init__(config, folders)
        if config.chance is not None and not config.constrain:
            raise ValueError("`chance` needs `constrain: true`")
        changes: dict[str, Any] = {"choices": list(config.answers)} if config.constrain else {}
        if config.chance is not None:
            changes["logprobs"] = True
        self.sampling = config.sampling.model_copy(update=changes)

    @property
    def writes(self) -> frozenset[str]:
        return frozenset([self.config.field, *([self.config.chance] if self.config.chance else [])])

    async def run(self, record: Record, ctx: Context) -> Outcome:
        answer = await self.ask(record, ctx, self.sampling)
        written: dict[str, Any] = {self.config.field: parse_verdict(answer.text, self.config.answers)}
        if self.config.chance is not None:
            logs = answer.choice_logprobs
            written[self.config.chance] = None if logs is None else round(math.exp(logs[0]), 6)
        return written


def parse_verdict(text: str, answers: tuple[str, str] = ("Yes", "No")) -> bool:
    """Returns what a judge said, case and markup aside: `answers`, or words that mean the same.

    The first word counts, else the last line, else all words that say yes or no, if they agree.

    Raises:
        AskAgain: if it said neither, or both.
    """
    bare = _MARKUP.sub(" ", text).strip()
    for wanted, value in zip(answers, (True, False), strict=True):
        if bare.rstrip(".!。！ ").casefold() == wanted.casefold():
            return value
    lines = [line for line in bare.splitlines() if line.strip()]
    if lines:
        for place in (_WORD.match(lines[0].strip()), _WORD.match(lines[-1].strip())):
            if place is not None:
                return bool(place[1] or place[3])
    found = {bool(word[1] or word[3]) for word in _WORD.finditer(bare)}
    if len(found) != 1:
        raise AskAgain(f"the judge said {'both' if found else 'neither'} of {' and '.join(answers)}: {text[:80]!r}")
    return found.pop()
