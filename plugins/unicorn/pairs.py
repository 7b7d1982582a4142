"""`qa_pairs`: questions and answers about a caption, from the JSON that a model writes."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field

from mminf.errors import AskAgain
from mminf.request import Generation, Sampling
from mminf.step.base import step
from mminf.step.generate import BaseGenerate, GenerateConfig
from mminf.step.parse import parse_json

LETTERS = ("A", "B", "C", "D")
_LETTER = re.compile(r"\W*(?:(?i:(?:the\s+)?(?:correct\s+)?answer(?:\s+is)?)\s*[:：]?)?\W*([A-D])(?:\W*$|[.):：]\s)")


class QaPairsConfig(GenerateConfig):
    writes: str = Field("turns", description="Field for the pairs: a list of objects.")
    options: bool = Field(False, description="Multiple choice: four options a question, a bare letter as answer.")
    count: tuple[int, int] = Field((6, 8), description="The least and the most pairs.")
    question: str = Field("instruction", description="What the question is called in a pair.")
    answer: str = Field("response", description="What the answer is called.")
    sampling: Sampling = Field(
        default_factory=lambda: Sampling(temperature=0.7, max_tokens=4096), description="How tokens are drawn."
    )


@step("qa_pairs")
class QaPairs(BaseGenerate[QaPairsConfig]):
    """Asks for pairs of question and answer as JSON: all of them sound, or asked again (Unicorn, section 3.3)."""

    def cut_off(self, answer: Generation) -> None:
        raise AskAgain(f"the JSON was cut off after {answer.completion_tokens} tokens")

    def written(self, text: str) -> dict[str, Any]:
        pairs = read_pairs(text, options=self.config.options)
        least, most = self.config.count
        if not least <= len(pairs) <= most:
            raise AskAgain(f"{len(pairs)} pairs, not {least} to {most}")
        return {self.config.writes: [{self.config.question: q, self.config.answer: a} for q, a in pairs]}


def read_pairs(text: str, *, options: bool = False) -> list[tuple[str, str]]:
    """Returns the (question, answer) pairs in an answer; questions that come twice are taken once.

    Args:
        options: the pairs are multiple choice; options become lines of the question, the answer a letter.

    Raises:
        AskAgain: if there is no readable JSON, or any pair in it is not whole.
    """
    value = parse_json(text)
    if isinstance(value, dict):
        lists = {_plain(key): item for key, item in value.items() if isinstance(item, list)}
        value = lists.get("qapairs", next(iter(lists.values()), [value]))
    pairs: dict[str, str] = {}
    for number, item in enumerate(value, 1):
        if not isinstance(item, dict):
            raise AskAgain(f"pair {number} is no object")
        fields = {_plain(key): field for key, field in item.items()}
        question, answer = fields.get("question"), fields.get("answer")
        if not isinstance(question, str) or not question.strip() or not isinstance(answer, str) or not answer.strip():
            raise AskAgain(f"pair {number} has no question or no answer")
        question, answer = question.strip(), answer.strip()
        if options:
            question, answer = _choice(number, question, answer, fields.get("options"))
        elif "options" in fields:
            raise AskAgain(f"pair {number} has options, though none were asked for")
        pairs.setdefault(question, answer)
    return list(pairs.items())


def _choice(number: int, question: str, answer: str, options: Any) -> tuple[str, str]:
    if isinstance(options, list):
        options = dict(zip(LETTERS, options, strict=False)) if len(options) == len(LETTERS) else None
    if not isinstance(options, dict) or {str(key).strip().upper() for key in options} != set(LETTERS):
        raise AskAgain(f"pair {number} has no options A to D")
    texts = {str(key).strip().upper(): _bare(option) for key, option in options.items()}
    if not all(texts.values()) or len({text.casefold() for text in texts.values()}) < len(LETTERS):
        raise AskAgain(f"pair {number} has options that are empty or the same")
    said = next((key for key, text in texts.items() if text.casefold() == answer.casefold()), None)
    found = _LETTER.match(answer)
    letter = said or (found[1] if found else None)
    if letter is None:
        raise AskAgain(f"pair {number} has an answer that is none of its options: {answer[:60]!r}")
    lines = "\n".join(f"{key}: {texts[key]}" for key in LETTERS)
    return f"{question}\n{lines}", letter


def _bare(option: Any) -> str:
    """An option without the letter that some models repeat in it."""
    return re.sub(r"^\s*\(?[A-D][.):]\s+", "", str(option)).strip()


def _plain(key: Any) -> str:
    return re.sub(r"[\W_]", "", str(key)).casefold()
