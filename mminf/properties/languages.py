"""Languages of texts."""

from __future__ import annotations

from collections import Counter

from mminf.language import likely_language
from mminf.properties.figures import LanguageCount

UNKNOWN = "und"


class Languages:
    """Counts the languages of texts, found by `mminf.language`."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, text: str) -> str:
        """Counts a text, and returns the code of its language."""
        code = likely_language(text)
        self._counts[code] += 1
        return code

    def result(self) -> tuple[LanguageCount, ...]:
        ranked = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
        return tuple(LanguageCount(code, count) for code, count in ranked)
