"""Type-token ratio and entropy."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.properties.words import Words, entropy


def vocabulary(*texts: str, most: int = 1000):
    words = Words(most)
    for text in texts:
        words.add(text.split())
    return words.result()


def test_ratio_and_entropy_of_texts_and_of_all_together() -> None:
    found = vocabulary("a b", "a a", "")
    assert (found.types, found.words, found.texts, found.complete) == (2, 4, 2, True)
    assert found.mean_ttr == pytest.approx((1 + 1 / 2) / 2)
    assert found.mean_entropy == pytest.approx((1 + 0) / 2)
    assert found.ttr == pytest.approx(2 / 4)
    assert found.entropy == pytest.approx(-(3 / 4 * math.log2(3 / 4) + 1 / 4 * math.log2(1 / 4)))


def test_texts_without_words_have_no_ratio() -> None:
    found = vocabulary("", "")
    assert (found.mean_ttr, found.mean_entropy, found.ttr, found.entropy, found.texts) == (None, None, None, None, 0)


def test_the_number_of_distinct_words_is_bounded() -> None:
    found = vocabulary("a b", "c d", "e f", most=3)
    assert (found.types, found.words, found.texts, found.complete) == (4, 4, 2, False)
    assert found.mean_ttr == 1  # of all three texts


def test_a_dataset_that_ends_at_the_bound_is_complete() -> None:
    assert vocabulary("a b", "c", most=3).complete


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=50))
def test_entropy_is_between_0_and_that_of_equal_counts(counts: list[int]) -> None:
    assert 0 <= entropy(counts) <= math.log2(len(counts)) + 1e-9
    assert entropy([5] * len(counts)) == pytest.approx(math.log2(len(counts)))
