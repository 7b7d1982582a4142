"""Words, type-token ratio and entropy.

A word is a run of letters and digits, in lower case; a character of a script without spaces (Chinese, Japanese, Thai,
...) is a word. Punctuation does not count.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from mminf.properties.figures import Vocabulary

MOST_TYPES = 1_000_000
"""Number of distinct words that are kept, about 100 MB."""


class Words:
    """Collects the words of texts.

    When there are `most` distinct words, further texts are not added to the words of all texts together. The means over
    texts are about all texts.
    """

    def __init__(self, most: int = MOST_TYPES) -> None:
        self._most = most
        self._complete = True
        self._counts: Counter[str] = Counter()
        self._counted = 0  # texts in `_counts`
        self._texts = 0
        self._ttr = self._entropy = 0.0

    def add(self, words: Sequence[str]) -> None:
        """Adds the words of a text; a text without words is left out."""
        if not words:
            return
        counts = Counter(words)
        self._texts += 1
        self._ttr += len(counts) / len(words)
        self._entropy += entropy(counts.values())
        if self._complete and len(self._counts) < self._most:
            self._counts.update(counts)
            self._counted += 1
        else:
            self._complete = False

    def result(self) -> Vocabulary:
        words = self._counts.total()
        return Vocabulary(
            mean_ttr=self._ttr / self._texts if self._texts else None,
            mean_entropy=self._entropy / self._texts if self._texts else None,
            types=len(self._counts),
            words=words,
            texts=self._counted,
            complete=self._complete,
            ttr=len(self._counts) / words if words else None,
            entropy=entropy(self._counts.values()) if words else None,
        )


def entropy(counts: Iterable[int]) -> float:
    """Returns the entropy of a distribution in bits, by the counts of its values."""
    counts = list(counts)
    total = sum(counts)
    return max(0.0, math.log2(total) - sum(count * math.log2(count) for count in counts) / total)
