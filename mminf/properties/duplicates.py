"""Exact and near-duplicates, with the method of the step `deduplicate`."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import TYPE_CHECKING

from mminf.answer.shingles import shingles
from mminf.properties.figures import Exact, Share

if TYPE_CHECKING:
    from numpy import uint64
    from numpy.typing import NDArray

MOST_DISTINCT = 500_000
"""Number of digests that are kept, about 40 MB."""
THRESHOLD, PERMUTATIONS = 0.8, 128
"""Estimated Jaccard similarity of word 3-grams, and number of hash functions: the defaults of `deduplicate`."""
MAX_DISTANCE = 4
"""Maximum number of different bits of two perceptual hashes, as in `deduplicate`."""


class Distinct:
    """Counts the texts that equal an earlier one.

    Memory is bounded: when there are more than `most` distinct texts, only those whose digest ends in a zero bit are
    counted, then those with two zero bits, and so on. All copies of a text have the same digest. Therefore the share of
    repeated texts among them is an unbiased estimate of the share of all texts.
    """

    def __init__(self, most: int = MOST_DISTINCT) -> None:
        self._most = most
        self._counts: dict[int, int] = {}
        self._zeros = 0

    def add(self, text: str | bytes) -> None:
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        key = int.from_bytes(hashlib.blake2b(data, digest_size=8).digest())
        if not self._is_counted(key):
            return
        self._counts[key] = self._counts.get(key, 0) + 1
        while len(self._counts) > self._most:
            self._zeros += 1
            self._counts = {key: count for key, count in self._counts.items() if self._is_counted(key)}

    def result(self) -> Exact:
        seen = sum(self._counts.values())
        return Exact(Share(seen - len(self._counts), seen), 1 << self._zeros)

    def _is_counted(self, key: int) -> bool:
        return key & ((1 << self._zeros) - 1) == 0


def normalised(text: str) -> str:
    """Returns the form in which texts are compared: NFKC, lower case, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


class NearTexts:
    """Counts the texts with an earlier near-duplicate, by MinHash and locality-sensitive hashing.

    Memory: about 0.7 kB per text that has none. datasketch's own index needs five times as much, because it returns the
    near-duplicates; here it is sufficient to know that there is one.
    """

    def __init__(self) -> None:
        from datasketch import MinHashLSH

        index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
        self._size: int = index.r
        self._bands: list[set[int]] = [set() for _ in range(index.b)]
        self._same: set[int] = set()
        self._texts = self._near = 0

    def add(self, text: str) -> None:
        """Adds a text; one without words is left out."""
        grams = shingles(text)
        if grams == {""}:
            return
        self._texts += 1
        same = hash(frozenset(grams))
        if same in self._same:  # a fifth of the cost of a MinHash
            self._near += 1
            return
        self._same.add(same)
        keys = self._keys(grams)
        if any(key in band for key, band in zip(keys, self._bands, strict=True)):
            self._near += 1
            return
        for key, band in zip(keys, self._bands, strict=True):
            band.add(key)

    def result(self) -> Share:
        return Share(self._near, self._texts)

    def _keys(self, grams: set[str]) -> list[int]:
        from datasketch import MinHash

        sketch = MinHash(num_perm=PERMUTATIONS)
        sketch.update_batch([gram.encode("utf-8", "surrogatepass") for gram in grams])
        values = sketch.hashvalues
        return [hash(values[n * self._size : (n + 1) * self._size].tobytes()) for n in range(len(self._bands))]


class NearImages:
    """Counts the images with an earlier similar one. A hash is compared with all kept ones, 8 bytes each."""

    def __init__(self) -> None:
        import numpy

        self._kept: NDArray[uint64] = numpy.zeros(1024, dtype=numpy.uint64)
        self._count = self._images = self._near = 0

    def add(self, value: int) -> None:
        """Adds the perceptual hash of an image, 64 bits."""
        import numpy

        self._images += 1
        apart = numpy.bitwise_count(self._kept[: self._count] ^ numpy.uint64(value))
        if bool((apart <= MAX_DISTANCE).any()):
            self._near += 1
            return
        if self._count == len(self._kept):
            self._kept = numpy.resize(self._kept, 2 * self._count)
        self._kept[self._count] = value
        self._count += 1

    def result(self) -> Share:
        return Share(self._near, self._images)
