"""Helpers of the text filters: normalised texts for matching, and short quotes for reasons."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from mminf.step import lazy_pattern

CJK = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_QUOTES = str.maketrans({"‘": "'", "’": "'", "ʼ": "'", "＇": "'", "“": '"', "”": '"', "„": '"', "＂": '"'})
_EMPHASIS = lazy_pattern(r"[*`]+|(?<!\w)_+|_+(?!\w)")
_WORD = lazy_pattern(rf"[{CJK}]|[^\W_{CJK}]+(?:'[^\W_{CJK}]+)*")


def as_text(value: object) -> str:
    """Returns a field as text: the items of a list on separate lines, and an empty text for None."""
    if isinstance(value, list):
        return "\n".join(map(as_text, value))
    return "" if value is None else str(value)


def texts_of(value: object) -> list[str]:
    """Returns a field as text, and each item of a list as well, because a rule may apply to the start of a text."""
    return [as_text(value), *(map(as_text, value) if isinstance(value, list) and len(value) > 1 else ())]


def straighten(text: str) -> str:
    """Returns a text with straight quotes, without Markdown emphasis, and with single spaces."""
    return " ".join(_EMPHASIS.sub("", unicodedata.normalize("NFC", text).translate(_QUOTES)).split())


@lru_cache(maxsize=256)
def words_of(text: str) -> tuple[str, ...]:
    """Returns the words of a text in lower case; a Chinese, Japanese or Korean character counts as a word.

    Combining marks are removed first, because `re` does not count them as parts of a word. Several rules look at the
    same text one after the other, so the words of the last texts are kept.
    """
    if text.isascii():
        return tuple(_WORD.findall(text.lower()))
    bare = "".join([char for char in text if char.isascii() or unicodedata.category(char)[0] != "M"])
    return tuple([word.casefold() for word in _WORD.findall(bare.translate(_QUOTES))])


def shorten(text: str, most: int = 60) -> str:
    """Returns a text on one line, with a maximum number of characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 3].rstrip() + "..."


def one_of(lines: str) -> str:
    """Returns a pattern that matches any of some patterns, one per line; spaces in them match spaces.

    A line that ends in a backslash continues on the next line.
    """
    joined = re.sub(r"\\\n\s*", "", lines.strip())
    return "(?:" + "|".join(line.strip() for line in joined.splitlines()) + ")"


def any_word(words: str) -> str:
    """Returns a pattern that matches any of some words; a + in a word matches a space."""
    return "(?:" + "|".join(re.escape(word).replace(r"\+", " ") for word in words.split()) + ")"


def word_set(words: str) -> frozenset[str]:
    """Returns the words of a table."""
    return frozenset(words.split())
