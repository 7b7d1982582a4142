"""Exact and near-duplicates."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.properties.duplicates import Distinct, NearImages, NearTexts, normalised
from mminf.properties.figures import Exact, Share

LONG = (
    "The old lighthouse on the northern cliff has been painted white and red by the fishermen of the village every year "
    "since it was built, although nobody has ever asked them to do so, and each family keeps its own brush in a small "
    "wooden box below the stairs, next to a list of names that begins with the first keeper and ends with his grandson"
)


def exact(texts: list[str], most: int = 1000) -> Exact:
    distinct = Distinct(most)
    for text in texts:
        distinct.add(text)
    return distinct.result()


def near(*texts: str) -> Share:
    found = NearTexts()
    for text in texts:
        found.add(text)
    return found.result()


@given(st.lists(st.text(max_size=2)))
def test_each_text_with_an_earlier_equal_counts(texts: list[str]) -> None:
    assert exact(texts) == Exact(Share(len(texts) - len(set(texts)), len(texts)), 1)


def test_many_distinct_texts_are_estimated_with_bounded_memory() -> None:
    draw = random.Random(3)
    texts = [f"text {draw.randrange(40_000)}" for _ in range(80_000)]
    distinct = Distinct(1000)
    for text in texts:
        distinct.add(text)
        assert len(distinct._counts) <= 1000
    found = distinct.result()
    assert found.one_in == 64
    assert found.repeated.share == pytest.approx(1 - len(set(texts)) / len(texts), abs=0.03)


@given(st.lists(st.text(max_size=3)), st.randoms())
def test_the_order_of_texts_does_not_matter(texts: list[str], shuffle: random.Random) -> None:
    mixed = list(texts)
    shuffle.shuffle(mixed)
    assert exact(texts, most=4) == exact(mixed, most=4)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("What is it?", "what  is it? ", True),
        ("ＡＢＣ", "abc", True),
        ("1 + 2", "1 - 2", False),
        ("What is it?", "What is it", False),
    ],
)
def test_case_and_white_space_do_not_make_texts_different(one: str, other: str, same: bool) -> None:
    assert (normalised(one) == normalised(other)) is same


def test_a_changed_word_makes_a_near_duplicate() -> None:
    assert near(
        LONG, LONG.replace("grandson", "grandchild"), "A completely different sentence about the city"
    ) == Share(1, 3)


def test_equal_texts_are_near_duplicates_too() -> None:
    assert near(LONG, LONG, LONG) == Share(2, 3)


def test_texts_without_words_are_left_out() -> None:
    assert near("", "???", "?!") == Share(0, 0)


def test_lone_surrogates_are_texts() -> None:
    assert near("\ud800 a b c d", "\ud800 a b c d") == Share(1, 2)
    assert exact(["\ud800", "\ud800"]).repeated == Share(1, 2)


def test_the_same_texts_are_dropped_by_the_step() -> None:
    from mminf.step import Drop
    from mminf.testing import run_dataset_step

    draw = random.Random(0)
    words = [f"w{number}" for number in range(400)]
    texts = []
    for _ in range(60):
        text = draw.choices(words, k=40)
        texts.append(" ".join(text))
        for _ in range(draw.randrange(3)):
            text[draw.randrange(40)] = "changed"
        texts.append(" ".join(text))
    results = run_dataset_step(
        "deduplicate", {"reads": "text", "method": "minhash"}, [{"text": text} for text in texts]
    )
    assert near(*texts) == Share(sum(isinstance(result, Drop) for result in results), len(texts))
    assert near(*texts).count > 20


def test_hashes_of_similar_images_differ_in_few_bits() -> None:
    images = NearImages()
    for value in (0, 0b1111, 0b11111, 2**64 - 1, *(number << 32 for number in range(2000))):
        images.add(value)
    assert images.result().of == 2004
    few = NearImages()
    for value in (0, 0b1111, 0b11111, 2**64 - 1):
        few.add(value)
    assert few.result() == Share(1, 4)
