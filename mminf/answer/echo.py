"""Finds parts of a prompt that a model repeats instead of answering it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from mminf.answer.clean import short
from mminf.answer.ground import UNSPACED, tokens
from mminf.errors import UnusableAnswer
from mminf.lazy import lazy_pattern

_MARK = lazy_pattern(r"\[(?:Begin|End) of [^\]\n]{1,40}\]|【[^】\n]{1,20}(?:开始|结束)】", re.IGNORECASE)
_CUE = lazy_pattern(r"^([^\n{}]{1,40}[:：])\s*\Z", re.MULTILINE)
_UNSPACED = lazy_pattern(f"[{UNSPACED}]")


class _Size(NamedTuple):
    """Numbers of words, or of characters in scripts without spaces.

    Attributes:
        long: so many consecutive words of a template are a repetition anywhere.
        short: so many consecutive words count for the share of the text that is repeated.
        least: minimum number of words that such a share must have.
    """

    long: int
    short: int
    least: int


class _Runs(NamedTuple):
    """The runs of words of a template, by their length."""

    long: set[tuple[str, ...]]
    short: set[tuple[str, ...]]


_SPACED, _UNSPACED_TEXT = _Size(12, 5, 6), _Size(24, 10, 12)
_SHARE = 0.6
"""Share of a text that must not consist of short parts of the template."""


class Echo:
    """Finds the fixed texts of a template in answers.

    An answer may repeat values of the record, such as a question, but has no reason to repeat the instructions.

    Args:
        texts: the template's texts between its expressions.
        sources: the whole templates.
    """

    def __init__(self, texts: Iterable[str], *sources: str) -> None:
        texts = tuple(texts)
        self._parts: dict[_Size, _Runs] = {}
        for text in texts:
            words = tokens(text)
            unspaced = sum(_UNSPACED.match(word) is not None for word in words)
            size = _UNSPACED_TEXT if 2 * unspaced > len(words) else _SPACED
            if len(words) >= size.least:
                known = self._parts.setdefault(size, _Runs(set(), set()))
                known.long.update(_runs(words, size.long))
                known.short.update(_runs(words, size.short))
        self._marks = frozenset(found.casefold() for text in texts for found in _MARK.findall(text))
        self._cues = [cue[1].strip() for cue in map(_CUE.search, sources) if cue is not None]

    def without_cue(self, text: str) -> str:
        """Returns an answer without the cue that the prompt ends with (`Answer:`), which some models repeat."""
        cue = next((cue for cue in self._cues if text.startswith(cue)), None)
        return text if cue is None else text.removeprefix(cue).lstrip()

    def refuse(self, value: object) -> None:
        """Raises UnusableAnswer if a text in a value of an answer repeats the template."""
        if isinstance(value, str):
            if (found := self.find(value)) is not None:
                raise UnusableAnswer(f"the answer repeats the prompt: {short(found)}")
        elif isinstance(value, Mapping):
            for item in value.values():
                self.refuse(item)
        elif isinstance(value, list | tuple):
            for item in value:
                self.refuse(item)

    def find(self, text: str) -> str | None:
        """Returns the part of the template that a text repeats, or None."""
        if (mark := next((mark for mark in _MARK.findall(text) if mark.casefold() in self._marks), None)) is not None:
            return str(mark)
        words = tokens(text) if self._parts else []
        for size, known in self._parts.items():
            if (run := next((run for run in _runs(words, size.long) if run in known.long), None)) is not None:
                return " ".join(run)
            repeated = _covered(words, known.short, size.short)
            if repeated >= size.least and repeated >= _SHARE * len(words):
                return text
        return None


def _runs(words: list[str], size: int) -> Iterator[tuple[str, ...]]:
    return (tuple(words[start : start + size]) for start in range(len(words) - size + 1))


def _covered(words: list[str], known: set[tuple[str, ...]], size: int) -> int:
    """Returns the number of words that are in a known run."""
    covered, end = 0, 0
    for start, run in enumerate(_runs(words, size)):
        if run in known:
            covered += start + size - max(start, end)
            end = start + size
    return covered
