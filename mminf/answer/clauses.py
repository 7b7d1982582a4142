"""Decides whether a clause of a judge's answer states the value that it contains."""

from __future__ import annotations

import re

from mminf.answer.clean import any_of
from mminf.lazy import lazy_pattern

_SENTENCE = lazy_pattern(r"[!?\n。！？]|\.(?!\d)")
_BOUNDARY = lazy_pattern(
    r"[,;:!?\n，；：！？。、]|\.(?!\d)|\s[-–—→]\s|—|→|\bbut\b|\byet\b|\bhowever\b|但是?|不过", re.IGNORECASE
)
# A value after these words is mentioned, not stated: negation, doubt, an earlier thought, a wish, a comparison.
_UNMEANT = lazy_pattern(
    "\\b"
    + any_of(
        "not, never, cannot, nor, neither, hardly, barely, except, instead of, rather than, other than, "
        "maybe, perhaps, "
        "possibly, might, initially, originally, previously, at first, first, before, almost, nearly, about, around, "
        "approximately, roughly, at least, at most, more than, less than, over, under, up to, between, "
        "ignore, without, "
        "asks for, asked for, wants, else"
    )
    + r"\b|n['’]t\b|(?:[~≈<>≥≤±/]|\b(?:than|out\s+of|in)\b\W*(?:an?\s+)?)\s*$"
    r"|不是|不会|不能|不该|不应|不值|并非|而非|没有|最初|起初|原本|大约|大概|约|至少|最多|可能|也许",
    re.IGNORECASE,
)
_CONDITION = lazy_pattern(r"\b(?:if|unless|were\s+it|had\s+it)\b|如果|要是|假如|除非", re.IGNORECASE)
# "A 5 would need more", "5 is reserved for", "4 would be too generous", "5?": the value is considered, not stated.
_WEIGHED = lazy_pattern(
    r"\A[ \t*_`\"'’”)\]】）]*(?:\?|[<>]|(?:"
    + any_of(
        "would, could, might, should, needs?, requires?, means?, if, unless, is too, too, is not, is "
        "reserved, is only, is for, "
        "is the best, is the highest, is the lowest, is the worst, is the maximum, is the minimum, is "
        "the top, isn['’]t, seems too"
    )
    + r")\b|[指太不]|表示|意味着|需要)",
    re.IGNORECASE,
)


def is_meant(text: str, start: int, end: int) -> bool:
    """Returns whether a value is stated: not negated, considered, compared, guessed or conditional.

    Args:
        start, end: the position of the value in the text.
    """
    clause = max((found.end() for found in _BOUNDARY.finditer(text, 0, start)), default=0)
    sentence = max((found.end() for found in _SENTENCE.finditer(text, 0, start)), default=0)
    return (
        _UNMEANT.search(text[clause:start]) is None
        and _CONDITION.search(text[sentence:start]) is None
        and _WEIGHED.match(text[end : end + 80]) is None
    )
