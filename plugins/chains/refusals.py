"""Finds refusals, in English and Chinese.

A refusal is about the model: what it can't, may not or won't do ("I can't assist with that", "I'm unable to view
images"). An answer is about the image, and may say what can't be seen in it ("I can't see any dogs", "I can't read the
number"). A refusal is at the start of the answer, or after an apology or a greeting. A refusal is partial if content
follows. Offers, reasons and questions to the user are not content. The rules are our own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import refusals_en, refusals_zh
from .texts import CJK, straighten, words_of


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal at the beginning of a text.

    Attributes:
        quote: the text up to the end of the refusal.
        partial: content follows the refusal.
    """

    quote: str
    partial: bool


_OPENERS_AT_MOST = 4  # sentences
_QUOTE_OPENS = re.compile(r"""^["'「『]""")
# Ends of sentences, and positions before "but".
_BREAK = re.compile(
    r"(?<=[.!?]) |(?<=[。！？])|(?:,|;| -|—) ?(?=(?:but|however|though|although|yet|here|and i)\b)"
    r"|[，,；](?=但|不过|然而|可是)",
    re.IGNORECASE,
)
_OPENERS = (refusals_en.OPENED, refusals_zh.OPENED)
_NOT_REFUSALS = (refusals_en.NOT_REFUSALS, refusals_en.OF_IMAGE, refusals_zh.OF_IMAGE)


def find_refusal(text: str) -> Refusal | None:
    """Returns the refusal that a text begins with, or None."""
    plain = straighten(text)
    if _QUOTE_OPENS.match(plain):
        inner = plain.rstrip(".。!！ ")
        if inner[-1] not in "\"'」』" or inner.count(plain[0]) > 2 + inner.count("n't") + inner.count("'m"):
            return None  # the text begins with a quotation
        plain = inner.strip("\"'「」『』")
    parts = [part.strip() for part in _BREAK.split(plain) if part.strip()]
    for number, part in enumerate(parts[:_OPENERS_AT_MOST]):
        if _refuses(part):
            quote = plain[: plain.index(part) + len(part)]
            return Refusal(quote, partial=_has_content(parts[number + 1 :]))
        if not _is_opener(part):
            return None
    return None


def _refuses(sentence: str) -> bool:
    """Returns whether a sentence refuses, at its start or after openers."""
    if any(pattern.search(sentence) for pattern in _NOT_REFUSALS):
        return False
    patterns = (*refusals_en.REFUSALS, *refusals_zh.REFUSALS)
    return any(pattern.match(sentence, start) for start in _starts(sentence) for pattern in patterns)


def _starts(sentence: str) -> list[int]:
    """Returns the positions at which a refusal may begin; the last words of an opener may be its first ("I'm ...")."""
    opened = max((found.end() for pattern in _OPENERS if (found := pattern.match(sentence))), default=0)
    inside = (found.end() for found in re.finditer(r"[,，:：!！.]\s*|\s|(?=我)", sentence[:opened]))
    return sorted({0, opened, *inside}, reverse=True)


def _is_opener(sentence: str) -> bool:
    """Returns whether a sentence is only an apology, a greeting or a similar opener."""
    bare = sentence.rstrip(" .!?,;:。！？，；：-—") + ". "
    return any(pattern.fullmatch(bare) for pattern in _OPENERS)


def _has_content(sentences: list[str]) -> bool:
    for sentence in sentences:
        if refusals_en.PADDING.search(sentence) or refusals_zh.PADDING.search(sentence) or _refuses(sentence):
            continue
        if len(words_of(sentence)) >= (5 if re.search(f"[{CJK}]", sentence) else 4):
            return True
    return False
