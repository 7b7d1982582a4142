"""Takes off an answer what is around it: thought, end tokens, fences, quotes, emphasis."""

from __future__ import annotations

import re
import unicodedata

from mminf.errors import AskAgain
from mminf.reasoning import split_reasoning

_END = re.compile(r"(?:\s*(?:<\|[^<>|\s]{1,40}\|>|<｜[^<>｜]{1,40}｜>|</s>|<eos>|<end_of_turn>))+\s*\Z")
_FENCED = re.compile(r"\A\s*(`{3,}|~{3,})[^\n`]*\n(?P<body>.*?)\n?\s*\1\s*\Z", re.DOTALL)
_PAIRS = (
    ("**", "**"), ("__", "__"), ("*", "*"), ("_", "_"), ("`", "`"), ('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"),
    ("「", "」"), ("『", "』"), ("«", "»"),
)  # fmt: skip
_BRACKETS = (("[", "]"), ("(", ")"), ("（", "）"), ("【", "】"), ("<", ">"), ("{", "}"))


def listed(words: str) -> tuple[str, ...]:
    """Returns the words of a list with commas between them."""
    return tuple(word.strip() for word in words.split(","))


def words(text: str) -> tuple[str, ...]:
    """Returns the words of a text."""
    return tuple(text.split())


def any_of(words: str) -> str:
    """Returns a pattern that matches any of the words of a list; white space in them is free."""
    return "(?:" + "|".join(re.sub(" +", r"\\s+", word) for word in listed(words)) + ")"


def final_text(text: str) -> str:
    """Returns an answer without the thought before it and without tokens that ended it.

    Raises:
        AskAgain: if the thought was not closed.
    """
    parts = split_reasoning(text)
    if not parts.complete:
        raise AskAgain(f"the answer was cut off in its thought: {short(text)}")
    return _END.sub("", parts.text).strip()


def unfence(text: str) -> str:
    """Returns what is in a code fence, if the whole text is in one."""
    found = _FENCED.match(text)
    return found["body"].strip() if found is not None and "```" not in found["body"] else text


def unwrap(text: str, *, brackets: bool = False) -> str:
    """Returns a text without quotes and emphasis around the whole of it; with `brackets`, without brackets, too."""
    text = text.strip()
    pairs = _PAIRS + _BRACKETS if brackets else _PAIRS
    while True:
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


def plain_digits(text: str) -> str:
    """Returns a text with full-width digits, letters and punctuation as ASCII, as NFKC has them."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def short(text: str, limit: int = 80) -> str:
    """Returns a text for a message: one line, quoted."""
    text = " ".join(text.split())
    return repr(text if len(text) <= limit else text[: limit - 1] + "…")
