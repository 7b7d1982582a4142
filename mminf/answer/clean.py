"""Removes what surrounds an answer: reasoning, end tokens, fences, quotes, emphasis."""

from __future__ import annotations

import re
import unicodedata

from mminf.errors import UnusableAnswer
from mminf.reasoning import split_reasoning

_END = re.compile(r"(?:<\|[^<>|\s]{1,40}\|>|<｜[^<>｜]{1,40}｜>|</s>|<eos>|<end_of_turn>)\Z")
_LONGEST_END = 50
_WRAPS = re.compile(r"</?(?:answer|response|final|output|verdict)>|<\|(?:begin|end)_of_box\|>", re.IGNORECASE)
_RUN = re.compile(r"([^\w\n])\1{9,}")
_BLANK = re.compile(r"[^\S\n]+")
_LINES = re.compile(r"\n(?:[^\S\n]*\n){2,}")
_ENDS = 2000
"""Characters at the start and at the end of an answer that are searched for a verdict."""
_PAIRS = (
    ("**", "**"), ("__", "__"), ("*", "*"), ("_", "_"), ("`", "`"), ('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"),
    ("「", "」"), ("『", "』"), ("«", "»"),
)  # fmt: skip
_BRACKETS = (("[", "]"), ("(", ")"), ("（", "）"), ("【", "】"), ("<", ">"), ("{", "}"))
_FIRST = tuple(first for first, _ in _PAIRS + _BRACKETS)


def listed(words: str) -> tuple[str, ...]:
    """Returns the items of a comma-separated list."""
    return tuple(word.strip() for word in words.split(","))


def words(text: str) -> tuple[str, ...]:
    """Returns the words of a text."""
    return tuple(text.split())


def any_of(words: str) -> str:
    """Returns a pattern for any item of a comma-separated list; a space in an item matches any white space."""
    return "(?:" + "|".join(re.sub(" +", r"\\s+", word) for word in listed(words)) + ")"


def final_text(text: str) -> str:
    """Returns an answer without the reasoning before it and without end tokens.

    Raises:
        UnusableAnswer: if the reasoning is not closed.
    """
    parts = split_reasoning(text)
    if not parts.complete:
        raise UnusableAnswer(f"the answer was cut off in its reasoning: {short(text)}")
    answer = parts.text.rstrip()
    while (end := _END.search(answer, max(0, len(answer) - _LONGEST_END))) is not None:
        answer = answer[: end.start()].rstrip()
    return answer.lstrip("\ufeff \t\r\n")


def verdict_text(text: str) -> str:
    """Returns an answer in the form that is searched for verdicts: start and end only, ASCII digits, no fence.

    Runs of white space and of marks are shortened, so that endless repetition does not slow the patterns down.

    Raises:
        UnusableAnswer: if the reasoning before it is not closed.
    """
    answer = _WRAPS.sub(" ", unfence(final_text(text)))
    if len(answer) > 2 * _ENDS:  # cut between words
        answer = f"{answer[:_ENDS].rpartition(' ')[0]}\n…\n{answer[-_ENDS:].partition(' ')[2]}"
    answer = _LINES.sub("\n\n", _BLANK.sub(" ", plain_digits(answer)))
    return _RUN.sub(lambda run: run[0][:9], answer).strip()


def unfence(text: str) -> str:
    """Returns the content of a code fence if the whole text is in it."""
    bare = text.strip()
    fence = bare[:3]
    first, _, body = bare.partition("\n")
    if fence not in ("```", "~~~") or not body.endswith(fence) or "`" in first.strip("`~"):
        return text
    inner = body.rstrip("`~")
    return text if fence in inner else inner.strip()


def unwrap(text: str, *, brackets: bool = False) -> str:
    """Returns a text without quotes and emphasis around it; with `brackets`, also without brackets."""
    text = text.strip()
    pairs = _PAIRS + _BRACKETS if brackets else _PAIRS
    while text.startswith(_FIRST):
        for first, last in pairs:
            inner = text[len(first) : len(text) - len(last)]
            if (
                len(text) > len(first) + len(last)
                and text.startswith(first)
                and text.endswith(last)
                and first not in inner
                and last not in inner
            ):
                text = inner.strip()
                break
        else:
            return text
    return text


def plain_digits(text: str) -> str:
    """Returns a text in NFKC, which converts full-width digits, letters and punctuation to ASCII."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def short(text: str, limit: int = 80) -> str:
    """Returns a text for a message: one line, shortened, quoted."""
    text = " ".join(text.split())
    return repr(text if len(text) <= limit else text[: limit - 1] + "…")
