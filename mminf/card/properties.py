"""Properties of rows that a card shows."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mminf.card.rows import Row
from mminf.language import likely_language

UNKNOWN = "und"
_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}_]+(?:['’-][^\W{_CJK}_]+)*")


@dataclass(frozen=True, slots=True)
class Length:
    """Lengths of one kind of texts.

    Attributes:
        name: kind of the texts, such as `instructions`.
        unit: `words` or `tokens`.
    """

    name: str
    unit: str
    mean: float
    median: float
    most: int


@dataclass(frozen=True, slots=True)
class CardProperties:
    """Properties that a card shows.

    Attributes:
        rows: number of rows that they are about.
        of: number of all rows; None if unknown.
        languages: number of texts by language, an ISO 639-1 code or `und`.
    """

    rows: int
    of: int | None = None
    lengths: Sequence[Length] = ()
    languages: Mapping[str, int] = field(default_factory=dict)

    def common_languages(self, least: float = 0.01) -> list[str]:
        """Returns the codes of the languages of at least this share of the texts, the most frequent first."""
        total = sum(self.languages.values())
        ranked = sorted(self.languages.items(), key=lambda item: (-item[1], item[0]))
        return [code for code, count in ranked if code != UNKNOWN and count >= least * total]


def sample_properties(rows: Sequence[Row], of: int | None) -> CardProperties:
    """Returns the lengths and languages of some rows."""
    users = [text for row in rows for text in row.user]
    assistants = [text for row in rows for text in row.assistant]
    lengths = [_length("instructions", users), _length("responses" if users else "texts", assistants)]
    texts = [" ".join((*row.user, *row.assistant)) for row in rows]
    languages = Counter(likely_language(text) for text in texts if text.strip())
    return CardProperties(len(rows), of, [found for found in lengths if found is not None], languages)


def _length(name: str, texts: Iterable[str]) -> Length | None:
    counts = [count_words(text) for text in texts]
    return Length(name, "words", statistics.fmean(counts), statistics.median(counts), max(counts)) if counts else None


def count_words(text: str) -> int:
    """Returns the number of words; a Chinese, Japanese or Korean character counts as one."""
    return len(_WORD.findall(text))
