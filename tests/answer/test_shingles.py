"""Word 3-grams."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.answer.shingles import shingles


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The red, red cat.", {"the red red", "red red cat"}),
        ("Two cats", {"two cats"}),
        ("图中有猫", {"图 中 有", "中 有 猫"}),
        ("Ｔwo snake_case words", {"two snake case", "snake case words"}),
        ("...", {""}),
        ("", {""}),
    ],
)
def test_shingles_are_word_3_grams(text: str, expected: set[str]) -> None:
    assert shingles(text) == expected


@given(st.text())
def test_case_and_punctuation_do_not_count(text: str) -> None:
    assert shingles(f"{text} !") == shingles(text)
    assert shingles(text)
