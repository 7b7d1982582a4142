"""Clauses of a judge's answer: whether what is said in one is meant."""

from __future__ import annotations

import re

_BOUNDARY = re.compile(
    r"[,;:!?\n，；：！？。、]|\.(?!\d)|\s[-–—→]\s|—|→|\bbut\b|\byet\b|\bhowever\b|但是?|不过", re.IGNORECASE
)
# What makes a value one that is only spoken of: negation, doubt, an earlier thought, a wish.
_UNMEANT = re.compile(
    r"\b(?:not|never|cannot|nor|neither|unless|except|instead\s+of|rather\s+than|other\s+than|maybe|perhaps|possibly|might|"
    r"initially|originally|previously|at\s+first|first|before|almost|nearly|about|around|approximately|roughly|at\s+least|at\s+"
    r"most|more\s+than|less\s+than|over|under|up\s+to|between|if|ignore|without)\b|n['’]t\b|[~≈<>≥≤±]\s*$"
    r"|不是|不会|不能|不该|不应|不值|并非|而非|没有|最初|起初|原本|大约|大概|约|至少|最多|如果|可能|也许",
    re.IGNORECASE,
)
# "A 5 would need more", "5 is reserved for", "4 would be too generous": the value is weighed, not given.
_WEIGHED = re.compile(
    r"\A[\s*_`\"'’”)\]】）]*(?:would|could|might|should|needs?|requires?|means?|is\s+(?:too|not|reserved|only|for|the\s+(?:best|highest|"
    r"lowest|worst|maximum|minimum|top))|isn['’]t|seems\s+too|指|表示|意味着|需要|太|不)",
    re.IGNORECASE,
)


def is_meant(text: str, start: int, end: int) -> bool:
    """Tells whether a value is stated, not negated, weighed or guessed at, in the clause where it is.

    Args:
        start, end: where the value is.
    """
    begin = 0
    for boundary in _BOUNDARY.finditer(text, 0, start):
        begin = boundary.end()
    return _UNMEANT.search(text[begin:start]) is None and _WEIGHED.match(text[end:]) is None
