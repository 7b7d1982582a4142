"""Finds endless repetition in a text: of a character, of a few words, of a sentence or line, or of passages.

Some repetition is intended: refrains, tables, numbered lists, code, numbers. A repetition therefore counts by its
number of consecutive occurrences and its share of the text. The thresholds are our own; they are above those of
refrains.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from operator import eq

from mminf.step import lazy_pattern

from .texts import CJK, words_of

_LONGEST_UNIT = 60  # words; longer passages are found by 8-grams
_FENCED = lazy_pattern(r"```.*?(?:```|\Z)", re.DOTALL)
_TABLE_ROW = lazy_pattern(r"^.*\|.*\|.*$|^[^\n]*(?:\t[^\n]*){2,}$", re.MULTILINE)
# Rules, leaders, masks and blanks of a form: a run of these characters is layout.
_LAYOUT = r"\s\-=_*.#~·•─━│┃|+…"
_RUN = lazy_pattern(rf"([^\d{_LAYOUT}])\1{{19,}}")
_STUTTER = lazy_pattern(r"([^\W\d_][\w'-]{1,11}?)\1{9,}")  # inside a word: "hahahahahahahahahahaha"
_NUMBER = lazy_pattern(r"^\s*(?:[-*•]\s+)?(?:\(?\d{1,4}[.):、]|[a-zA-Z][.)])?\s*")
_SENTENCE = lazy_pattern(r"[^.!?。！？\n]+")


def find_repetition(text: str) -> str | None:
    """Returns the unit that a text repeats, with its number of occurrences, or None."""
    prose = _TABLE_ROW.sub("\n", _FENCED.sub("\n", text))
    return (
        _find_run(prose)
        or _find_loop(words_of(prose), in_code=False)
        or (_find_loop(words_of(text), in_code=True) if prose != text else None)
        or _find_twins(prose)
        or _find_passages(words_of(prose))
    )


def _find_run(text: str) -> str | None:
    """Finds a run of one character, or of one syllable of a word."""
    bare = "".join(text.split())
    whole = re.fullmatch(r"(\D)\1{7,}[.。!！]?", bare)
    found = whole or _RUN.search(text) or _STUTTER.search(text)
    return f"{found[1]!r} {len(found[0]) // len(found[1])} times" if found else None


def _find_loop(words: Sequence[str], *, in_code: bool) -> str | None:
    """Finds consecutive repetitions of a few words or a sentence.

    Args:
        in_code: the text contains code or tables, so that only very long loops count.
    """
    least = 30 if in_code else 3
    for period in range(1, min(_LONGEST_UNIT, len(words) // 2) + 1):
        if sum(map(eq, words[period:], words)) < (least - 1) * period:
            continue  # too few equal words at this distance; this is the usual case, and a fraction of the cost
        run, longest, end = 0, 0, 0
        for index in range(period, len(words)):
            run = run + 1 if words[index] == words[index - period] else 0
            if run > longest:
                longest, end = run, index + 1
        times = longest // period + 1
        share = (longest + period) / len(words)
        unit = words[end - period : end]
        if times >= least and _is_endless(unit, times, share):
            return f"{_join(unit)!r} {times} times"
    return None


def _is_endless(unit: Sequence[str], times: int, share: float) -> bool:
    """Returns whether a unit is repeated too often; the limit decreases with its length and its share of the text."""
    if not any(char.isalpha() for word in unit for char in word):
        return times >= 50 and share >= 0.5  # "0, 0, 0, ..." is data
    length = len(_join(unit)) / 5 if re.search(f"[{CJK}]", unit[0]) else len(unit)
    if length < 2:
        return times >= (6 if share >= 0.7 else 12)
    if length < 5:
        return times >= (5 if share >= 0.7 else 8)
    return times >= (3 if share >= 0.7 else 6)


def _find_twins(text: str) -> str | None:
    """Finds a line or sentence that is half of the text or more; numbers before list items are ignored."""
    for parts in ([_NUMBER.sub("", line) for line in text.splitlines()], _SENTENCE.findall(text)):
        long = [words for part in parts if len(words := words_of(part)) >= 4]
        if not long:
            continue
        (most, times), *_ = Counter(long).most_common(1)
        if times >= 4 and times >= len(long) / 2:
            return f"{_join(most)!r} {times} times"
    return None


def _find_passages(words: Sequence[str]) -> str | None:
    """Finds repeated passages of any length, by a low share of distinct 8-grams."""
    grams = [tuple(words[index : index + 8]) for index in range(len(words) - 7)]
    if len(grams) < 60 or len(set(grams)) >= 0.4 * len(grams):
        return None
    if not any(char.isalpha() for gram in grams[:20] for word in gram for char in word):
        return None
    most, times = Counter(grams).most_common(1)[0]
    return f"{_join(most)!r} {times} times" if times >= 3 else None


def _join(words: Sequence[str]) -> str:
    text = words[0]
    for last, word in pairwise(words):
        text += word if re.match(f"[{CJK}]", last) and re.match(f"[{CJK}]", word) else f" {word}"
    return text
