"""Compares the words of a text, in any script, with the source that it was extracted from."""

from __future__ import annotations

import itertools
import unicodedata
from collections import Counter
from difflib import SequenceMatcher

from rapidfuzz import fuzz, process

from mminf.answer.clean import words
from mminf.lazy import lazy_pattern

# Scripts that are written without spaces: a character counts as a word.
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_TOKEN = lazy_pattern(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+(?:['’][^\W_]+)*")
_SENTENCES = lazy_pattern(r"(?<=[.!?])\s+|[。！？\n]+")
_LITTLE = frozenset(
    words(
        "a an the of in on at to for from by with and or is are was were be it its this that these those as do does "
        "did can please there what which here 的 了 在 是 和 请 这 那 有"
    )
)
"""Function words: a text may add them to its source without a change of meaning."""
_MOST = 400
"""Maximum number of words that are aligned and compared; the time grows with the square."""
_ALIKE = 80  # of 100: a corrected typo, or a plural
_LONG = 5  # minimum number of letters of words that are compared


def tokens(text: str) -> list[str]:
    """Returns the words of a text, case-folded and in NFKC."""
    return _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold())


def is_quoted(text: str, source: str) -> bool:
    """Returns whether the source contains a text, regardless of white space, punctuation and case.

    The text must begin and end where words of the source do: "is is" is not quoted from "sisi sisi".
    """
    quoted, found = "".join(tokens(text)), tokens(source)
    joined = "".join(found)
    edges = set(itertools.accumulate(map(len, found), initial=0))
    return any(start + len(quoted) in edges and joined.startswith(quoted, start) for start in edges)


def coverage(text: str, source: str) -> float:
    """Returns the share of a text's words that are in its source, counted with repetition; 1 for a text without words.

    Words of five or more letters are equal if their RapidFuzz ratio is at least 80.
    """
    said, there = tokens(text), Counter(tokens(source))
    if not said:
        return 1.0
    found = 0
    for word in said:
        same = word if there[word] > 0 else _alike(word, there)
        if same is not None:
            there[same] -= 1
            found += 1
    return found / len(said)


def strange_words(text: str, source: str) -> int:
    """Returns the number of a text's words that are not in its source, without function words."""
    there = Counter(tokens(source))
    strange = 0
    for word in tokens(text):
        same = word if there[word] > 0 else _alike(word, there)
        if same is not None:
            there[same] -= 1
        elif word not in _LITTLE:
            strange += 1
    return strange


def skipped_words(text: str, source: str) -> int:
    """Returns the size of the largest gap that a text leaves in a sentence of its source, in words.

    "Write the sum" leaves a gap of four words in "Write a function that returns the sum", and has another meaning.
    """
    said, there, sentence = tokens(text), [], []
    for number, part in enumerate(_SENTENCES.split(source)):
        found = tokens(part)
        there += found
        sentence += [number] * len(found)
    matcher = SequenceMatcher(None, there[: 4 * _MOST], said[:_MOST], autojunk=False)
    blocks = [block for block in matcher.get_matching_blocks() if block.size]
    gaps = [0]
    for one, other in itertools.pairwise(blocks):
        last, first = one.a + one.size - 1, other.a
        if sentence[last] == sentence[first]:
            gaps.append(first - last - 1)
    return max(gaps)


def _alike(word: str, there: Counter[str]) -> str | None:
    """Returns a similar word of the source: singular or plural, or with a corrected typo."""
    for other in (f"{word}s", word.removesuffix("s")):
        if len(word) > 2 and there[other] > 0:
            return other
    if len(word) < _LONG:
        return None
    others = [other for other, count in there.items() if count > 0 and len(other) >= _LONG]
    best = process.extractOne(word, others[: 4 * _MOST], scorer=fuzz.ratio, score_cutoff=_ALIKE)
    return None if best is None else str(best[0])
