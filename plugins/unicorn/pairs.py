"""`qa_pairs`: questions and answers about a caption, from the JSON that a model writes."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from mminf.step import (
    BaseGenerate,
    Fields,
    GenerateConfig,
    Sampling,
    UnusableAnswer,
    lazy_pattern,
    parse_json,
    require_content,
    step,
)

LETTERS = ("A", "B", "C", "D")
_SAID = lazy_pattern(r"(?:the\s+)?(?:correct\s+)?answer(?:\s+is)?\s*[:：]?\s*", re.IGNORECASE)
_OWN_LETTER = lazy_pattern(r"\(?[A-Da-d]\s*[.):]")
# Options that refer to others, or whose place matters: "all of the above", "both A and B", "以上都是".
_REFERS = lazy_pattern(
    r"\b(?:all|none|both|neither|either|any|some)\s+(?:of\s+)?(?:the\s+|these\s+|those\s+)?"
    r"(?:above|following|options?|answers?|choices|others?|them)\b"
    r"|\b(?:above|options?|answers?|choices?)\s+[A-D]\b|\b[A-D]\s*(?:,|and|or|&|/)\s*[A-D]\b|^(?:both|neither|all|none)$"
    r"|以上|上述|都[是对不]|皆[是非]|选项",
    re.IGNORECASE,
)
_WITH_TEXT = lazy_pattern(r"([A-D])\s*[.):：]\s*(\S.*)", re.DOTALL)


class QaPairsConfig(GenerateConfig):
    """Settings of `qa_pairs`."""

    writes: str = Field("turns", description="Field for the list of pairs, which are objects.")
    options: bool = Field(
        False,
        description="Multiple choice: each question has four options, which are shuffled, and the answer is a letter. "
        "The letters of a conversation's answers are balanced.",
    )
    count: tuple[int, int] = Field((6, 8), description="Minimum and maximum number of pairs.")
    truncated: bool | Literal["retry"] = Field(
        "retry",
        description="Answers that reach `max_tokens`: `true` keeps them, `retry` retries, `false` fails the record.",
    )
    question: str = Field("instruction", description="Field of a pair with the question.")
    answer: str = Field("response", description="Field of a pair with the answer.")
    sampling: Sampling = Field(
        default_factory=lambda: Sampling(temperature=0.7, max_tokens=4096), description="Sampling parameters."
    )


@step("qa_pairs")
class QaPairs(BaseGenerate[QaPairsConfig]):
    """Asks for question-answer pairs as JSON; an answer with an invalid pair is retried (Unicorn, section 3.3).

    The options of multiple-choice questions are shuffled: models put the right one first more often than last. The
    order depends on the model's answer alone, so it is the same in every run.
    """

    version = 2

    def written(self, text: str) -> Fields:
        """Returns the list of pairs. Raises UnusableAnswer if one can't be read, or there are too few or too many."""
        pairs = read_pairs(text, options=self.config.options)
        low, high = self.config.count
        if not low <= len(pairs) <= high:
            raise UnusableAnswer(f"{len(pairs)} pairs, not {low} to {high}")
        return {self.config.writes: [{self.config.question: q, self.config.answer: a} for q, a in pairs]}


def read_pairs(text: str, *, options: bool = False) -> list[tuple[str, str]]:
    """Returns the (question, answer) pairs in an answer, without duplicate questions.

    Args:
        options: the pairs are multiple choice; shuffled options become lines of the question, the answer a letter.

    Raises:
        UnusableAnswer: if there is no readable JSON, or if a pair is not complete.
    """
    value = parse_json(text)
    if isinstance(value, dict):
        lists = {_plain(key): item for key, item in value.items() if isinstance(item, list)}
        value = lists.get("qapairs", next(iter(lists.values()), [value]))
    pairs: dict[str, str] = {}
    choices: dict[str, tuple[Mapping[str, str], str]] = {}
    for number, item in enumerate(value, 1):
        if not isinstance(item, dict):
            raise UnusableAnswer(f"pair {number} is not an object")
        fields = {_plain(key): field for key, field in item.items()}
        question, answer = fields.get("question"), fields.get("answer")
        if not isinstance(question, str) or not question.strip() or not isinstance(answer, str) or not answer.strip():
            raise UnusableAnswer(f"pair {number} has no question or no answer")
        question = require_content(question.strip(), f"the question of pair {number}")
        answer = require_content(answer.strip(), f"the answer of pair {number}")
        if options:
            choices.setdefault(question, _choice(number, answer, fields.get("options")))
        elif "options" in fields:
            raise UnusableAnswer(f"pair {number} has options, which the prompt does not ask for")
        pairs.setdefault(question, answer)
    return _shuffled(choices, random.Random(text)) if options else list(pairs.items())


def _shuffled(choices: Mapping[str, tuple[Mapping[str, str], str]], drawn: random.Random) -> list[tuple[str, str]]:
    """Returns the questions with their options as lines, and the letters of the right ones.

    The right options are placed so that all letters are equally frequent, as far as their number allows. The order of
    options that refer to each other is kept.

    Args:
        choices: by question, the options and the letter of the right one.
    """
    free = [question for question, (texts, _) in choices.items() if not any(map(_REFERS.search, texts.values()))]
    letters = [*LETTERS * (len(free) // len(LETTERS)), *drawn.sample(LETTERS, len(free) % len(LETTERS))]
    drawn.shuffle(letters)
    places = dict(zip(free, letters, strict=True))
    pairs = []
    for question, (texts, right) in choices.items():
        place = places.get(question, right)
        if question in places:
            others = [texts[key] for key in LETTERS if key != right]
            drawn.shuffle(others)
            texts = {key: texts[right] if key == place else others.pop() for key in LETTERS}
        lines = "\n".join(f"{key}: {texts[key]}" for key in LETTERS)
        pairs.append((f"{question}\n{lines}", place))
    return pairs


def _choice(number: int, answer: str, options: object) -> tuple[dict[str, str], str]:
    """Returns the texts of a question's options by letter, and the letter of the right one."""
    texts = _by_letter(options)
    if texts is None:
        raise UnusableAnswer(f"pair {number} has no options A to D")
    for key, text in texts.items():
        require_content(text, f"option {key} of pair {number}")
    if len({text.casefold() for text in texts.values()}) < len(LETTERS):
        raise UnusableAnswer(f"pair {number} has options that are empty or the same")
    return texts, _letter(number, answer, texts)


def _by_letter(options: object) -> dict[str, str] | None:
    """Returns the texts of the options A to D by their letters; None if they are not these."""
    if isinstance(options, list):
        options = _lettered(options)
    if not isinstance(options, dict) or {str(key).strip().upper() for key in options} != set(LETTERS):
        return None
    texts = {str(key).strip().upper(): str(option).strip() for key, option in options.items()}
    # Some models repeat each option's letter in it; where not all do, "C. elegans" is what an option says.
    if all(re.match(rf"\(?{key}\s*[.):]", text) for key, text in texts.items()):
        texts = {key: re.sub(rf"^\(?{key}\s*[.):]\s*", "", text) for key, text in texts.items()}
    return texts


def _lettered(options: list[object]) -> dict[str, object] | None:
    """Returns a list of options by letter: by their own letters, in any order, or by their positions."""
    if all(_OWN_LETTER.match(str(option)) for option in options):
        return {str(option).strip(" (")[0]: str(option) for option in options}
    return dict(zip(LETTERS, options, strict=True)) if len(options) == len(LETTERS) else None


def _letter(number: int, answer: str, texts: dict[str, str]) -> str:
    """The letter that an answer names: alone, with its option's text, or by that text."""
    said = _SAID.sub("", answer, count=1) if _SAID.match(answer) else answer
    bare = said.strip(" \t\n.()[]:*_\"'")
    if bare in LETTERS:
        return bare
    by_text = {text.casefold(): key for key, text in texts.items()}
    found = {by_text[text.casefold()] for text in (answer.strip(), said.strip(), bare) if text.casefold() in by_text}
    if not found and (named := _WITH_TEXT.fullmatch(bare)) and by_text.get(named[2].strip(" .").casefold()) == named[1]:
        found = {named[1]}
    if len(found) != 1:
        raise UnusableAnswer(f"pair {number} has an answer that is none of its options: {answer[:60]!r}")
    return found.pop()


def _plain(key: object) -> str:
    return re.sub(r"[\W_]", "", str(key)).casefold()
