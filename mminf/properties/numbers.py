"""Distributions of integers, from one pass and with a bounded number of counters."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping

from mminf.properties.figures import Distribution, Histogram

_BITS = 12
"""Values of more bits are counted by their first 12 bits, so that there are few counters."""
_BINS = 20
_MAIN = 0.95
"""The bins of equal width reach to this quantile; one more bin contains the values above them."""


class Numbers:
    """Collects integers from 0. Mean, standard deviation, minimum and maximum are exact.

    Median and histogram are exact for values below 4,096; larger values are rounded down to 12 bits (0.05 %).
    """

    def __init__(self) -> None:
        self.count = self._total = self._squares = 0
        self._least: int | None = None
        self._most: int | None = None
        self._values: Counter[int] = Counter()

    def add(self, value: int) -> None:
        self.count += 1
        self._total += value
        self._squares += value * value
        self._least = value if self._least is None else min(value, self._least)
        self._most = value if self._most is None else max(value, self._most)
        shift = max(0, value.bit_length() - _BITS)
        self._values[value >> shift << shift] += 1

    def result(self) -> Distribution:
        if not self.count or self._most is None:
            return Distribution(0, None, None, None, None, None, Histogram())
        spread = self.count * self._squares - self._total**2
        return Distribution(
            count=self.count,
            mean=self._total / self.count,
            std=math.sqrt(spread) / self.count,
            least=self._least,
            median=_quantile(self._values, 0.5),
            most=self._most,
            histogram=make_histogram(self._values, self._most),
        )


def make_histogram(values: Mapping[int, int], most: int) -> Histogram:
    """Returns a histogram with about 20 bins of equal width, and one more for the largest values, at most 5 %.

    Args:
        values: counts of values, at least one.
        most: the largest value.
    """
    top = _quantile(values, _MAIN)
    width = _round_up(-(-(top - min(values) + 1) // _BINS))
    start = min(values) // width * width
    edges = list(range(start, top + 1, width))
    edges.append(edges[-1] + width)
    if most >= edges[-1]:
        edges.append(most + 1)
    return count_bins(values, edges)


def count_bins(values: Mapping[int, int] | Mapping[float, int], edges: Iterable[float]) -> Histogram:
    """Returns a histogram with given edges. Values outside of them are counted in the first or last bin."""
    edges = tuple(edges)
    counts = [0] * (len(edges) - 1)
    for value, count in values.items():
        counts[min(max(bisect_right(edges, value) - 1, 0), len(counts) - 1)] += count
    return Histogram(edges, tuple(counts))


def _quantile(values: Mapping[int, int], share: float) -> int:
    """Returns the smallest value that at least this share of the values does not exceed."""
    left = math.ceil(share * sum(values.values()))
    for value in sorted(values):
        left -= values[value]
        if left <= 0:
            return value
    raise AssertionError("there is no value")


def _round_up(width: int) -> int:
    """Returns the smallest of 1, 2, 5, 10, 20, 50, ... that is not below a width."""
    power = 1
    while True:
        for step in (1, 2, 5):
            if step * power >= width:
                return step * power
        power *= 10
