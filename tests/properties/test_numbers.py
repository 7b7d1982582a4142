"""Distributions, compared with the standard library's statistics."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.properties.figures import Histogram
from mminf.properties.numbers import Numbers, count_bins


def distribution(values: list[int]):
    numbers = Numbers()
    for value in values:
        numbers.add(value)
    return numbers.result()


SMALL = st.lists(st.integers(0, 4095), min_size=1)


@given(SMALL)
def test_figures_are_those_of_the_standard_library(values: list[int]) -> None:
    found = distribution(values)
    assert found.count == len(values)
    assert found.mean == pytest.approx(statistics.fmean(values))
    assert found.std == pytest.approx(statistics.pstdev(values), abs=1e-6)
    assert (found.least, found.most) == (min(values), max(values))
    assert found.median == statistics.median_low(values)


@given(st.lists(st.integers(0, 10**9), min_size=1))
def test_the_histogram_counts_every_value_once(values: list[int]) -> None:
    found = distribution(values).histogram
    assert sum(found.counts) == len(values)
    assert len(found.edges) == len(found.counts) + 1 <= 23
    assert list(found.edges) == sorted(set(found.edges))
    assert found.edges[0] <= min(values) <= max(values) < found.edges[-1]


@given(SMALL)
def test_bins_contain_their_lower_edge(values: list[int]) -> None:
    found = distribution(values).histogram
    for low, high, count in zip(found.edges, found.edges[1:], found.counts, strict=False):
        assert count == sum(low <= value < high for value in values)


def test_the_last_bin_has_the_few_values_far_above() -> None:
    found = distribution([*range(200), 5000]).histogram
    assert found.edges == (*range(0, 201, 10), 5001)
    assert found.counts == (*[10] * 20, 1)


def test_equal_values_have_one_bin() -> None:
    assert distribution([7] * 5).histogram == Histogram((7, 8), (5,))


def test_nothing_has_no_mean() -> None:
    found = distribution([])
    assert (found.count, found.mean, found.std, found.median, found.most) == (0, None, None, None, None)
    assert found.histogram == Histogram()


def test_large_values_need_few_counters() -> None:
    numbers = Numbers()
    for value in range(0, 2_000_000, 7):
        numbers.add(value)
    assert len(numbers._values) < 25_000
    found = numbers.result()
    assert found.median == pytest.approx(1_000_000, rel=0.001)
    assert found.std == pytest.approx(2_000_000 / math.sqrt(12), rel=1e-4)


def test_values_outside_of_given_edges_are_in_the_first_or_last_bin() -> None:
    assert count_bins({-1.0: 1, 0.5: 2, 9.0: 3}, (0, 1, 2)) == Histogram((0, 1, 2), (3, 3))
