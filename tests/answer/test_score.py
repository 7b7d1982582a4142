from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.answer.score import parse_score
from mminf.errors import UnusableAnswer

GIVEN = [
    ("[[4]]", 4), ("**[[4]]**", 4), ("`[[2]]`", 2), ("[[ 3 ]]", 3), ("[[3/5]]", 3), ("[[Score: 2]]", 2), ("[[２]]", 2), ("【3】", 3),
    ("【３分】", 3), ("\\[ \\boxed{4} \\]", 4), ("<score>2</score>", 2), ("The final answer is [[2]].", 2), ("[[2]]</s>", 2),
    ("Result: [[4]]\nReason: it mentions [[2]] objects", 4), ("I first thought [[2]], but it is [[3]]", 3),
    ("Choose one of [[1]], [[2]], [[3]], [[4]], [[5]].\n[[2]]", 2), ("From [[1]] to [[5]]: [[4]]", 4), ("I settle on [[3]].", 3),
    ("4", 4), ("4.0", 4), ("Five", 5), ("(3/5)", 3), ("3/5.", 3), ("2 out of 5", 2), ("[4]", 4), ("3 分", 3), ("```\n4\n```", 4),
    ("Score: 2", 2), ("**Score:** 2", 2), ("- Score: 2", 2), ("Score:\n2", 2), ("score=2", 2), ("Score – 2", 2), ("Score：２", 2),
    ("Score (1-5): 2", 2), ("Score for clarity: 2/5", 2), ("Score: 2, since 3 of 5 are legible", 2), ("Final score = 3", 3),
    ("Score: 2 out of 5 because 2 words are misspelt", 2), ("Verdict: **3**", 3), ("Answer: 3", 3), ("Rating: 3 stars", 3),
    ("My score is: 4. A score of 5 would need more.", 4), ("This merits a score of 2.", 2), ("Rated 3/5", 3),
    ("There are 3 dogs, so the score would be 5.", 5), ("3/5 of the text is legible. Rating: 5", 5), ("得分：2分（满分5分）", 2),
    ("满分5分，我打2分", 2), ("该指令得4分。", 4), ("我给3分，因为有一处歧义。", 3), ("最终评分为 2。", 2), ("评分:2/5", 2),
    ("I'd give it a 2.", 2), ("I rate 2 on a scale of 1 to 5", 2), ("On a scale from 1 to 5, I rate this a 2.", 2),
    ("Overall, I would rate the clarity of this instruction as a 4.", 4), ("I would assign a rating of 3 to this instruction.", 3),
    ("I think it deserves a 2.", 2), ("Considering all, I give 4 points.", 4), ("I can see all of it, so I'd say 5.", 5),
    ("2 (Unclear)", 2), ("2: Unclear", 2), ("2 – Unclear", 2), ("Clarity: 2/5", 2), ("Level: low (2)", 2), ("Unclear: 2", 2),
    ("It mentions 2 cats.\n\n**5**", 5), ("# Rating\n3", 3), ("| Rating |\n|---|\n| 3 |", 3), ("3\n\nThe instruction is vague.", 3),
    ('{"Score": 3}', 3), ('{"Score": "[[3]]"}', 3), ('Here it is:\n```json\n{"rating": 3, "scale": 5}\n```', 3),
    ('{"reason": "2 of 3 are there", "score": "3/5"}', 3), ("<think>[[1]]? No.</think>\n\n[[2]]", 2), ("It isn't worth a score of 5; 3 is fair.", 3),
]  # fmt: skip
NOT_GIVEN = [
    "", "fine", "0", "6", "-1", "4.5", "100", "5 5 4", "4+", "[[4.5]]", "[[6]]", "[[0]]", "[[x]]", "[[4-5]]", "[[A]]", "[[4]] or [[5]]",
    "[[4]] [[5]]", "[[1]] [[2]] [[3]] [[4]] [[5]]", "[[5]] would be too generous", "not [[5]]", "Score: 4.5", "Score: 42", "Score: -2",
    "Score: N/A", "Score: 3-4", "Score: 3 or 4", "Score: 4 or maybe 3", "Score range: 1-5", "Score: 4. No, score: 5", "The score is not 5.",
    "3 dogs", "I see 3 dogs", "I counted 4.", "There were 5.", "Page 4", "Option 4", "4 years ago", "At 5 o'clock", "In 4 of the images",
    "the sign says 4", "The answer is 4 dogs", "2 out of 5 objects are visible", "3/5 of it is legible", "I would give it 4 apples",
    "about 4", "~3", "Maybe 4", "It could be a 4", "between 3 and 4", "3 to 4", "4-5", "I'd say 3 or 4.", "not 4",
    "I can't give it a score of 5", "A 5 would need more detail.", "5 is best. 1 is worst", "The scale is 1 to 5.", "(1-5)", "Out of 5",
    "1, 2, 3, 4, 5", "1 - Unclear\n2 - Vague\n3 - Clear", "1. It shows a cat.\n2. It is clear.", "There are 4: two red, two blue.",
    "Clarity: 4, solvability: 3", "Clarity: 4\nTruth: 3", '{"clarity": 4, "truth": 3}', "8/10", "I'm sorry, I can't rate this.",
    "★★★★",
]  # fmt: skip


@pytest.mark.parametrize(("text", "score"), GIVEN, ids=range(len(GIVEN)))
def test_a_score_counts_in_a_verdict_position(text: str, score: int) -> None:
    assert parse_score(text) == score


@pytest.mark.parametrize("text", NOT_GIVEN, ids=range(len(NOT_GIVEN)))
def test_other_numbers_are_refused(text: str) -> None:
    with pytest.raises(UnusableAnswer, match="no score from 1 to 5"):
        parse_score(text)


def test_a_thought_that_is_not_closed_is_refused() -> None:
    with pytest.raises(UnusableAnswer, match="cut off in its reasoning"):
        parse_score("<think>[[4]] I guess")


def test_other_scales() -> None:
    assert parse_score("9/10", 1, 10) == 9
    assert parse_score("总分10分，得7分", 1, 10) == 7
    assert parse_score("I rate 8 on a scale of 1 to 10", 1, 10) == 8
    assert parse_score("6 out of 10 because of 2 faults", 1, 10) == 6
    for text in ("[[8]]", "8/10"):
        with pytest.raises(UnusableAnswer):
            parse_score(text, 1, 5)


@given(
    st.integers(1, 5), st.sampled_from(["[[{}]]", "Score: {}", "{}/5", "I'd give it a {}.", "评分：{}"]), st.booleans()
)
def test_a_stated_score_is_read_after_any_words_without_numbers(score: int, form: str, before: bool) -> None:
    said = form.format(score)
    text = f"The instruction names a colour and a place.\n\n{said}" if before else said
    assert parse_score(text) == score


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert 1 <= parse_score(text) <= 5
    except UnusableAnswer as refusal:
        assert len(str(refusal)) < 300
