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

_WORDS = {
    True: ("yes", "true", "correct", "是", "是的", "正确", "对"),
    False: ("no", "false", "incorrect", "not true", "not correct", "wrong", "否", "不是", "不正确", "不对", "错误"),
}
_MARKUP = re.compile(r"[*_`#>\"'\[\](){}]+")
_END = re.compile(r"\s*(?:[,.;:!，。；：！\-–—]|$)")


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

    Said is what the first line begins with, behind it a stop or nothing; or what stands alone at the end of the last
    line, as in "Answer: no". Words inside of sentences don't count: "this is not true" has a "true" in it.

    Raises:
        AskAgain: if neither is said, or both.
    """
    lines = [line.strip() for line in _MARKUP.sub(" ", text).splitlines() if line.strip()]
    words = {word: value for value, known in _WORDS.items() for word in known}
    words |= {answers[0].casefold(): True, answers[1].casefold(): False}
    said = set()
    if lines:
        first, last = " ".join(lines[0].casefold().split()), lines[-1].casefold()
        for word in sorted(words, key=len, reverse=True):
            if first.startswith(word) and _END.match(first, len(word)):
                said.add(words[word])
                break
        tail = re.split(r"[:：]", last)[-1].strip().rstrip(".。!！ ").strip()
        if tail in words:
            said.add(words[tail])
    if len(said) != 1:
        raise AskAgain(f"the judge said {'both' if said else 'neither'} of {' and '.join(answers)}: {text[:80]!r}")
    return said.pop()
