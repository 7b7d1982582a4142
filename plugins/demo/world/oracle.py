"""The oracle: true scores for any text, in the language or not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from .chinese import chinese_words, in_chinese, segment, to_chinese
from .forms import IMPERATIVES, Form
from .language import caption_parts, is_answer, is_caption, parse, sentences, split_words, words
from .scene import Scene

# The thresholds of the Oasis filter (arXiv 2503.08741, section 3.2).
THRESHOLDS = {"solvability": 3, "clarity": 3, "hallucination": 5, "nonsense": 5}
_LONGEST = 40  # maximum number of words of a text that is repaired


@dataclass(frozen=True)
class Verdict:
    """True scores of an instruction, 1 (worst) to 5, and the right answer, or None if there is no answer."""

    solvability: int
    clarity: int
    hallucination: int
    nonsense: int
    answer: str | None = None

    def passes(self, axis: str) -> bool:
        """Returns whether the instruction passes the threshold of an axis."""
        return bool(getattr(self, axis) >= THRESHOLDS[axis])

    @property
    def sound(self) -> bool:
        """Whether it is answerable, true to the image, clear and well formed, so that a perfect filter keeps it."""
        return keeps({axis: getattr(self, axis) for axis in THRESHOLDS})


def keeps(scores: Mapping[str, int]) -> bool:
    """Returns whether the Oasis filter keeps an instruction with these scores."""
    enough = all(scores[axis] >= least for axis, least in THRESHOLDS.items())
    return enough and scores["solvability"] + scores["clarity"] >= 7


def judge(instruction: str, scene: Scene) -> Verdict:
    """Returns the true scores of a text that is used as an instruction about a scene.

    A text with repeated words gets grade 4 for nonsense, a text with two neighbouring words swapped gets grade 3. Their
    other scores are those of the repaired text. A text that can't be repaired gets grade 1 on all axes. A Chinese text
    is judged as its translation, and the answer to it is in Chinese.
    """
    text = " ".join(instruction.split())
    repaired = repair(text)
    if repaired is None:
        return Verdict(1, 1, 1, 1)
    form, slots, nonsense = repaired
    finding = form.find(scene, slots)
    clarity = form.clarity if nonsense == 5 else min(form.clarity, 4)
    if finding.faults:
        worst = min(finding.faults)
        # Several faults weigh more than one.
        hallucination = 2 if worst == 3 and len(finding.faults) > 1 else worst
        return Verdict(2 if hallucination == 3 and form.solvability > 1 else 1, clarity, hallucination, nonsense)
    answer = finding.answer
    if answer is not None and in_chinese(text):
        answer = to_chinese(answer)
    return Verdict(form.solvability, clarity, 5, nonsense, answer)


@lru_cache(maxsize=20_000)
def repair(text: str) -> tuple[Form, dict[str, str], int] | None:
    """Returns the form and slots of a repaired text, and its nonsense grade; None if it can't be repaired."""
    if (found := parse(text)) is not None:
        return *found, 5
    said, mark, space = split_words(text)
    if len(said) > _LONGEST:
        return None
    once = [word for number, word in enumerate(said) if number == 0 or word != said[number - 1]]
    if len(once) < len(said) and (found := parse(space.join(once) + mark)) is not None:
        return *found, 4
    for number in range(len(said) - 1):
        swapped = [*said[:number], said[number + 1], said[number], *said[number + 2 :]]
        if (found := parse(space.join(swapped) + mark)) is not None:
            return *found, 3
    return None


def is_instruction(sentence: str) -> bool:
    """Returns whether a sentence is a question, or a command of the language."""
    return sentence.endswith(("?", "？")) or sentence.split()[0] in IMPERATIVES or sentence.startswith("请")


def extract(text: str) -> str | None:
    """Returns the first instruction in a sampled text; None for a caption."""
    return next((sentence for sentence in sentences(text) if is_instruction(sentence)), None)


def is_valid_hook(text: str) -> bool:
    """Returns whether a hooked sample is in the language: captions, answers, and questions in words of the language.

    Garbled questions count, too: they are a defect that a filter must find.
    """
    parts = sentences(text)
    return bool(parts) and all(is_caption(part) or is_answer(part) or _asks(part) for part in parts)


def _asks(sentence: str) -> bool:
    if not sentence.endswith(("?", "？")):
        return repair(sentence) is not None
    if in_chinese(sentence):
        return all(word in chinese_words() or word.isdigit() for word in segment(sentence[:-1]))
    return all(word in words() or word.isdigit() for word in re.findall(r"\w+", sentence))


def is_right(answer: str, instruction: str, scene: Scene) -> bool:
    """Returns whether an answer to an instruction equals that of the oracle; captions may have any order."""
    truth = judge(instruction, scene).answer
    said = " ".join(answer.split())
    if truth is None or in_chinese(said) != in_chinese(truth):
        return False
    if is_caption(truth):
        return is_caption(said) and caption_parts(said) == caption_parts(truth)
    return said.rstrip(".。").lower() == truth.rstrip(".。").lower()
