"""Word n-grams, by which texts are compared."""

from __future__ import annotations

import unicodedata

from mminf.lazy import lazy_pattern

_WORD = lazy_pattern(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]+")


def shingles(text: str) -> set[str]:
    """Returns the word 3-grams of a text; a character of a script without spaces counts as a word.

    A text of fewer than three words has one shingle, the text itself.
    """
    words = _WORD.findall(unicodedata.normalize("NFKC", text).lower())
    return {" ".join(words[index : index + 3]) for index in range(max(1, len(words) - 2))}
