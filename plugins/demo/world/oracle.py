"""The oracle: the truth about any text of the language, and a grade for any that isn't."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .forms import IMPERATIVES, Form
from .language import caption_parts, is_answer, is_caption, parse, words
from .scene import Scene

# The sides of the Oasis filter's thresholds (arXiv 2503.08741, section 3.2).
THRESHOLDS = {"solvability": 3, "clarity": 3, "hallucination": 5, "nonsense": 5}
_LONGEST = 40  # words of a text that repairs are tried on


@dataclass(frozen=True)
class Verdict:
    """True scores of an instruction, 1 (worst) to 5, and the right answer, or None where the image holds none."""

    solvability: int
    clarity: int
    hallucination: int
    nonsense: int
    answer: str | None = None

    def passes(self, axis: str) -> bool:
        """Tells on which side of an axis' threshold the instruction is."""
        return bool(getattr(self, axis) >= THRESHOLDS[axis])

    @property
    def sound(self) -> bool:
        """Whether it is answerable, true to the image, clear and well formed: what a perfect filter keeps."""
        return keeps({axis: getattr(self, axis) for axis in THRESHOLDS})


def keeps(scores: Mapping[str, int]) -> bool:
    """Tells whether the Oasis filter keeps what has these scores."""
    enough = all(scores[axis] >= least for axis, least in THRESHOLDS.items())
    return enough and scores["solvability"] + scores["clarity"] >= 7


def judge(instruction: str, scene: Scene) -> Verdict:
    """Returns the true scores of any text that is taken for an instruction about a scene.

    A text with one repeated word (or run of them) is graded 4 for nonsense, one with two neighbouring words swapped 3,
    and its other scores are those of what was meant; whatever can't be repaired so is graded 1 on all axes.
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
        # Several things that are off weigh more than one.
        hallucination = 2 if worst == 3 and len(finding.faults) > 1 else worst
        return Verdict(2 if hallucination == 3 and form.solvability > 1 else 1, clarity, hallucination, nonsense)
    return Verdict(form.solvability, clarity, 5, nonsense, finding.answer)


def repair(text: str) -> tuple[Form, dict[str, str], int] | None:
    """Returns what is meant by a text, and its nonsense grade; None if nothing can be made out."""
    if (found := parse(text)) is not None:
        return *found, 5
    mark = text[-1:] if text[-1:] in ("?", ".") else ""
    said = text.removesuffix(mark).split()
    if len(said) > _LONGEST:
        return None
    once = [word for number, word in enumerate(said) if number == 0 or word != said[number - 1]]
    if len(once) < len(said) and (found := parse(" ".join(once) + mark)) is not None:
        return *found, 4
    for number in range(len(said) - 1):
        swapped = [*said[:number], said[number + 1], said[number], *said[number + 2 :]]
        if (found := parse(" ".join(swapped) + mark)) is not None:
            return *found, 3
    return None


def sentences(text: str) -> list[str]:
    """Returns the sentences of a text, each with the mark that ends it."""
    return [" ".join(part.split()) for part in re.findall(r"[^.?!]+[.?!]?", text) if part.strip()]


def is_instruction(sentence: str) -> bool:
    """Tells whether a sentence asks for something: a question, or a command of the language."""
    return sentence.endswith("?") or sentence.split()[0] in IMPERATIVES


def extract(text: str) -> str | None:
    """Returns the instruction that a sampled text holds, the first if there are several; None for a caption."""
    return next((sentence for sentence in sentences(text) if is_instruction(sentence)), None)


def is_valid_hook(text: str) -> bool:
    """Tells whether a hooked sample is of the language: captions, answers, and whatever asks in the language's words.

    Garbled questions count, too: they are a kind of defect that a filter is for.
    """
    parts = sentences(text)
    return bool(parts) and all(is_caption(part) or is_answer(part) or _asks(part) for part in parts)


def _asks(sentence: str) -> bool:
    if not sentence.endswith("?"):
        return repair(sentence) is not None
    return all(word in words() or word.isdigit() for word in re.findall(r"\w+", sentence))


def is_right(answer: str, instruction: str, scene: Scene) -> bool:
    """Tells whether an answer to an instruction is right: says what the oracle says, captions in any order."""
    truth = judge(instruction, scene).answer
    said = " ".join(answer.split())
    if truth is None:
        return False
    if is_caption(truth):
        return is_caption(said) and caption_parts(said) == caption_parts(truth)
    return said.rstrip(".").lower() == truth.rstrip(".").lower()
