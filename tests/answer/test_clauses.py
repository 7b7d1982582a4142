"""Whether a judge means the value that a clause of its answer contains."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.answer.clauses import is_meant

MEANT = [
    "4", "It is a 4.", "Not perfect, 4", "Maybe the sign is hidden. 4", "I first thought of 2, but 4", "It is not a 3; 4 it is", "It isn't clear: 4",
    "I thought of 3 → 4", "no doubt – 4", "It might be vague yet 4 is fair", "If it were red, I would lower it. So 4", "Is it clear? If so. 4",
    "4 is fair", "4, since it would need more detail", "4. A second reader could disagree", "不是很好，4", "没有错误。4", "4 points",
]  # fmt: skip
NOT_MEANT = [
    "not 4", "It isn't a 4", "It isn’t a 4", "I never give 4", "rather than 4", "Maybe 4", "It might be 4", "At first 4", "I previously gave 4",
    "about 4", "up to 4", "at most 4", "between 3 and 4", "~4", "< 4", "> 4", "3/4", "better than 4", "better than a 4", "2 out of 4", "in 4", "without 4",
    "The prompt asks for 4", "If it is clear, 4", "Unless it is red, then 4", "Had it been red: 4", "如果清楚，4", "不是4", "可能4", "大约 4", "最多4",
    "4?", "4 would be too generous", "**4** could be fair", "4 means very clear", "4 needs more", "4 is too high", "4 is not right", "4 isn't right",
    "4 is the best", "4 if it is red", "4 > 3", "4表示清楚", "4 不合适",
]  # fmt: skip


def says_four(text: str) -> bool:
    """Returns whether the first 4 of a text is meant."""
    start = text.index("4")
    return is_meant(text, start, start + 1)


@pytest.mark.parametrize("text", MEANT)
def test_values_that_are_stated(text: str) -> None:
    assert says_four(text)


@pytest.mark.parametrize("text", NOT_MEANT)
def test_values_that_are_only_mentioned(text: str) -> None:
    assert not says_four(text)


@given(st.sampled_from(MEANT), st.sampled_from(["It is short. ", "It isn't red, I think.\n", "如果是红色，就好。"]))
def test_a_sentence_before_changes_nothing(text: str, before: str) -> None:
    assert says_four(before + text)


@given(st.sampled_from(NOT_MEANT), st.sampled_from(["It is short. ", "It is clear.\n", "很清楚。"]))
def test_a_sentence_before_makes_nothing_meant(text: str, before: str) -> None:
    assert not says_four(before + text)


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_condition_at_the_start_of_the_sentence_governs_all_of_it(before: str, after: str) -> None:
    assert not is_meant(f"{before}. If so 4{after}", len(before) + 8, len(before) + 9)
