"""Compares answers with solutions: letters of multiple-choice questions, numbers, and short texts.

`is_right` is the reward of a completion in reinforcement learning. The recipe uses the same functions.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, get_args

from mminf.step import UnusableAnswer, final_text, lazy_pattern, unwrap

from .numbers import read_number, same_number

Kind = Literal["choice", "number", "text"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LETTERS = "ABCDEFGHIJ"

_TAG = lazy_pattern(r"<answer>((?:(?!</?answer>).)*)</answer>", re.DOTALL | re.IGNORECASE)
_OPEN_TAG = lazy_pattern(r"<answer>", re.IGNORECASE)
_BOXED = lazy_pattern(r"\\boxed\s*\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}")
_TEXT_MACRO = lazy_pattern(r"\A\\(?:text|mathrm|textbf|mathbf)\s*\{([^{}]*)\}\Z")
_LABEL = lazy_pattern(
    r"\A(?:(?:so|thus|therefore|hence),?\s+)?(?:the\s+)?(?:final\s+|correct\s+|right\s+)?answer\s*(?:is\b\s*:?|:|=)\s*(.+)\Z"
    r"|\A(?:最终)?答案\s*[是为:：]\s*(.+)\Z",
    re.IGNORECASE,
)
# A full stop at the end, but not that of "U.S.A."
_STOP = lazy_pattern(r"(?<!\.\w)[.。]\Z")
_LONGEST_PLAIN = 60
_OPTION = lazy_pattern(
    rf"\A(?:(?:option|choice|选项)\s*)?[(\[（【]?\s*([{LETTERS}])\s*(?:[)\]）】][.:：、]?|[.:：、])?(?:\s*\Z|(?<=[)\]）】.:：、])\s*(?P<rest>.+)\Z)",
    re.IGNORECASE | re.DOTALL,
)
# A second option after the first; not the end of "B. Vitamin C."
_SECOND = lazy_pattern(rf"(?:\A|\s)[{LETTERS}][).:、]\s*\S|\([{LETTERS}]\)|\A(?:and|or|,|&|/)?\s*[{LETTERS}]\W*\Z")
_LETTER = lazy_pattern(rf"\W*[{LETTERS}]\W*")
_OPTION_LINE = lazy_pattern(rf"^[ \t]*[(\[（]?([{LETTERS}])[)\]）.:：、]\s*(\S.*?)\s*$", re.MULTILINE)
_OPTION_MARK = lazy_pattern(rf"(?:\A|(?<=\s))(?:[(\[（]([{LETTERS}])[)\]）]|([{LETTERS}])[).:：、])[ \t]*(?=\S)")
_ARTICLE = lazy_pattern(r"\A(?:a|an|the)\s+(?=\S)")
# Not inside numbers: 3.5, 1,000, 12:30, -5, 2020-2021, 1/2.
_MARKS = lazy_pattern(
    r"(?<!\d)[.,:/]|[.,:/](?!\d)|(?<!\d)-(?!\d)|(?<=[^\W\d])-(?=\d)|(?<=\d)-(?!\d)|[;!?…'\"`()\[\]{}<>*_。，；：！？、“”‘’「」『』《》【】–—]"
)
_DROPPED = frozenset(".'’‘")


def is_right(completion: str, solution: str, kind: str | None = None) -> bool:
    """Returns whether the final answer of a completion is the solution.

    Args:
        kind: "choice", "number" or "text"; by default it is inferred from the solution.
    """
    answer = final_answer(completion)
    return answer is not None and same_answer(answer, solution, kind)


def final_answer(completion: str) -> str | None:
    r"""Returns the final answer in a completion, or None if it gives none, or several different ones.

    It is the content of `<answer>` tags, else of `\boxed{}`, else the last line after "Answer:" or "The answer is",
    else the whole completion, if it is a short line. Reasoning before it, in <think> tags, does not count.
    """
    try:
        text = final_text(completion).strip()
    except UnusableAnswer:
        return None
    for found in (_TAG.findall(text), [_unbox(item) for item in _BOXED.findall(text)]):
        if found:
            return _bare(found[-1]) if len({normalise_text(_bare(item)) for item in found}) == 1 else None
    if _OPEN_TAG.search(text) or not text:
        return None  # truncated
    last = unwrap(text.splitlines()[-1].strip())
    if _LABEL.match(last):
        return _bare(last)
    return _bare(text) if "\n" not in text and len(text) <= _LONGEST_PLAIN else None


def _bare(answer: str) -> str:
    """Returns an answer without the label before it: "The answer is B" is "B"."""
    bare = unwrap(_STOP.sub("", answer.strip()))
    found = _LABEL.match(bare)
    return bare if found is None else unwrap(_STOP.sub("", found[1] or found[2]))


def tagged_answer(completion: str) -> str | None:
    """Returns the final answer in `<answer>` tags; None if there is none, or several different ones."""
    return final_answer(completion) if _TAG.search(completion) else None


def _unbox(content: str) -> str:
    found = _TEXT_MACRO.match(content.strip())
    return found[1] if found is not None else content


def same_answer(answer: str, solution: str, kind: str | None = None) -> bool:
    """Returns whether an answer, without text around it, is the solution."""
    kind = kind if kind in KINDS else kind_of(solution)
    if kind == "choice":
        letter = read_letter(solution)
        return letter is not None and read_letter(answer) == letter
    if kind == "number":
        one, other = read_number(answer), read_number(solution)
        return one is not None and other is not None and same_number(one, other)
    return normalise_text(answer) == normalise_text(solution) != ""


def kind_of(solution: str) -> Kind:
    """Returns the kind of a solution: a single letter is a choice."""
    if _LETTER.fullmatch(solution) and read_letter(solution) is not None:
        return "choice"
    number = read_number(solution)
    # "One Way" is a text.
    return "text" if number is None or (number.words and solution.strip()[:1].isalpha()) else "number"


def read_letter(answer: str) -> str | None:
    """Returns the letter of the option that an answer names: "B", "(b)", "B. Paris", "Option B"; None for several."""
    found = _OPTION.match(unwrap(unicodedata.normalize("NFKC", answer).strip()).strip())
    if found is None or _SECOND.search(found["rest"] or ""):
        return None
    return found[1].upper()


def read_options(question: str) -> dict[str, str]:
    """Returns the options of a question by letter; none unless they are A, B, ... on separate lines."""
    return _in_order(_OPTION_LINE.findall(question))


def read_options_of_line(question: str) -> dict[str, str]:
    """Returns the options A, B, ... in the last line of a question that has several.

    "A. Smith or B. Jones?" has them, too, so this is for questions that are known to have options.
    """
    for line in reversed(question.splitlines()):
        marks = list(_OPTION_MARK.finditer(line))
        if len(marks) > 1:
            ends = [mark.start() for mark in marks[1:]] + [len(line)]
            texts = [line[mark.end() : end].strip(" \t,;，；") for mark, end in zip(marks, ends, strict=True)]
            return _in_order([(mark[1] or mark[2], text) for mark, text in zip(marks, texts, strict=True)])
    return {}


def _in_order(options: list[tuple[str, str]]) -> dict[str, str]:
    """Returns options by letter; none if the letters are not A, B, ..., because it is not clear then what they are."""
    letters = [letter for letter, _ in options]
    return dict(options) if letters and letters == list(LETTERS[: len(letters)]) else {}


def normalise_text(text: str) -> str:
    """Returns a short text in the form in which it is compared: no case, punctuation, articles and double spaces.

    A text of punctuation or symbols only stays as it is.
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).strip()
    bare = " ".join(_MARKS.sub(lambda mark: "" if mark[0] in _DROPPED else " ", plain).split())
    while (without := _ARTICLE.sub("", bare)) != bare:
        bare = without
    return bare or " ".join(plain.split())
