from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.answer.verdict import parse_letter, parse_verdict
from mminf.errors import UnusableAnswer

SAID = [
    ("Yes", True), ("YES", True), ("yes.", True), ('"Yes"', True), ("```\nYes\n```", True), ("[[Yes]]", True), ("\\boxed{No}", False),
    ("True", True), ("False.", False), ("**No**.", False), ("Verdict: Yes", True), ("**Answer:** No", False), ("Final answer: **Yes**", True),
    ("My answer is no, since the cup is blue.", False), ("I would say no.", False), ('{"answer": "No"}', False), ("The answer is: yes.", True),
    ("Answer:\nNo", False), ('{"answer": "No", "has_text": true}', False), ("Yes.\n\nThe cup is red and the table is brown.", True), ("No. The cup is blue, not red.", False), ("No — the dog is absent.", False),
    ("The part says three dogs.\nThere are two.\n\nNo", False), ("Answer with Yes or No: No", False), ("No, that is not true.", False),
    ("是的，图中有一只猫。", True), ("不，图中没有狗。", False), ("答案是否", False), ("结论：不正确", False), ("<think>No?</think>Yes", True),
    ("Yes, it does not show a cat", True), ("Wrong.", False), ("对的", True),
]  # fmt: skip
NOT_SAID = [
    "", "Maybe", "Probably yes", "Mostly no", "I think so", "Hardly.", "It depends. Yes if red, no if blue.", "Yes or No", "Yes/No",
    "Answer: yes or no", "[[Yes]] [[No]]", "Yes? No?", "Yes and no.", "The answer is yes and no", "I would not say yes.", "No comment.",
    "No objects are missing", "No doubt about it", "No problem, all there. Yes", "True north is up", "False teeth are visible", "Correct answer: B",
    "Yes, but that is wrong", "Yes, although the colour is wrong.", "Yes, the description is incorrect.", "No, it is correct",
    "It is true that the cup is red.", "This is not true of the image.", "Partly correct.", "不完全正确", "<think>Yes", "I can't see the image.",
    "Given answer:\nNo", "I'd say yes, but I'm not sure.", '{"answer": "Yes", "true_in_image": false}', "如果杯子是红色，答案：是。",
]  # fmt: skip


@pytest.mark.parametrize(("text", "verdict"), SAID, ids=range(len(SAID)))
def test_a_verdict_counts_in_a_verdict_position(text: str, verdict: bool) -> None:
    assert parse_verdict(text) is verdict


@pytest.mark.parametrize("text", NOT_SAID, ids=range(len(NOT_SAID)))
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(UnusableAnswer):
        parse_verdict(text)


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("[[A]]", "A"),
        ("A is shorter, B is right. [[b]]", "B"),
        ("Say [[A]], [[B]] or [[C]]: [[C]]", "C"),
        ("B", "B"),
        ("**[[A]]**\nIt is true.", "A"),
    ],
)
def test_letters(text: str, letter: str) -> None:
    assert parse_letter(text, "ABC") == letter


@pytest.mark.parametrize(
    "text",
    [
        "A or B",
        "[[A]] or [[B]]",
        "[[D]]",
        "A is better than B",
        "not [[A]]",
        "",
        "[[A]] [[B]] [[C]]",
        "In [[B]] it is wrong.",
    ],
)
def test_letters_that_nobody_chose(text: str) -> None:
    with pytest.raises(UnusableAnswer):
        parse_letter(text, "ABC")


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_verdict, lambda text: parse_letter(text, "ABC")):
        try:
            parse(text)
        except UnusableAnswer as refusal:
            assert len(str(refusal)) < 300
