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
    ("text", "verdict"),
    [
        pytest.param("[[Yes.]]", True, id="full stop in the marker"),
        pytest.param("The cup is red and full. [[Yes.]]", True, id="full stop in a marker after a sentence"),
        pytest.param("[[ no! ]]", False, id="exclamation mark in the marker"),
        pytest.param("Yes: the cup is red.", True, id="colon and reason"),
        pytest.param("The answer is not correct.", False, id="two words"),
        pytest.param("I would say not true.", False, id="two words after a verb"),
        pytest.param("The cup is blue.\nTherefore:\nNo", False, id="label on the line before"),
        pytest.param("The cup is blue.\nSo: No!", False, id="label and exclamation mark"),
        pytest.param("I looked at every object, and the answer\nis no.", False, id="clause over two lines"),
        pytest.param("The answer is hard to see. My verdict is no.", False, id="a clause without a verdict before"),
        pytest.param('{"answer": "No."}', False, id="JSON with a full stop"),
        pytest.param('{"answer": "No"}.', False, id="full stop after JSON"),
        pytest.param('{"is_correct": true, "reason": "It says no."}', True, id="JSON with a boolean"),
        pytest.param('{"answer": "No", "reason": "It says {b}."}', False, id="braces in a text after the answer"),
        pytest.param('{"reason": "It says {b}.", "answer": "No"}', False, id="braces in a text before the answer"),
        pytest.param('{"result": 3, "verdict": "No"}', False, id="JSON with a number"),
        pytest.param('{"answer": "Yes", "true_in_image": true}', True, id="JSON with a flag that agrees"),
        pytest.param('Here it is:\n```json\n{"Final Answer": "yes"}\n```', True, id="JSON in a fence"),
    ],
)
def test_verdicts_in_other_forms(text: str, verdict: bool) -> None:
    assert parse_verdict(text) is verdict


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Correct: B", id="what is correct"),
        pytest.param("正确：B", id="what is correct in Chinese"),
        pytest.param("False: the second sentence", id="what is false"),
        pytest.param("No. 7 is missing", id="number"),
        pytest.param("No 7", id="number without a dot"),
        pytest.param("Yes\nHowever, the dog is absent.", id="hedged on the next line"),
        pytest.param("Yes.\n\nMostly.", id="hedged after a blank line"),
        pytest.param("No.\nIt is true.", id="contradicted on the next line"),
        pytest.param('{"reason": "The answer is yes."}', id="a text in JSON"),
        pytest.param('{"answer": "Yes"', id="cut off"),
        pytest.param('{"answer": ["Yes"]}', id="a list in JSON"),
        pytest.param("The answer is yes-ish", id="half a word"),
        pytest.param("If it is red, my answer is yes.", id="condition"),
    ],
)
def test_words_that_only_look_like_a_verdict(text: str) -> None:
    with pytest.raises(UnusableAnswer):
        parse_verdict(text)


def test_the_answers_that_a_judge_was_given() -> None:
    answers = ("Supported", "Refuted")
    assert parse_verdict("[[supported]]", answers) is True
    assert parse_verdict("Refuted.", answers) is False
    assert parse_verdict("[[No]]", answers) is False
    with pytest.raises(UnusableAnswer, match=r"\Athe judge said neither of Supported and Refuted: 'Unclear'\Z"):
        parse_verdict("Unclear", answers)
    with pytest.raises(
        UnusableAnswer, match=r"\Athe judge said both of Yes and No: 'Yes\. However, the dog is absent\.'\Z"
    ):
        parse_verdict("Yes. However, the dog is absent.")


@given(st.sampled_from(SAID), st.text(" \t\n", max_size=4), st.text(" \t\n", max_size=4))
def test_white_space_around_an_answer_changes_nothing(case: tuple[str, bool], before: str, after: str) -> None:
    text, verdict = case
    assert parse_verdict(f"{before}{text}{after}") is verdict


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("(B)", "B"),
        ("B.", "B"),
        ("**[c]**", "C"),
        ("B:", "B"),
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
    with pytest.raises(UnusableAnswer, match=r"\Athe judge chose none of \[\[A\]\], \[\[B\]\], \[\[C\]\]: '"):
        parse_letter(text, "ABC")


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_verdict, lambda text: parse_letter(text, "ABC")):
        try:
            parse(text)
        except UnusableAnswer as refusal:
            assert len(str(refusal)) < 300
