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
    assert parse_score("[[10]]", 1, 10) == 10
    assert parse_score("Score: 10/10", 1, 10) == 10
    assert parse_score("[[0]]", 0, 5) == 0
    assert parse_score("Score: 0", 0, 5) == 0
    assert parse_score("zero", 0, 5) == 0
    for text in ("[[8]]", "8/10"):
        with pytest.raises(UnusableAnswer):
            parse_score(text, 1, 5)


SPELLED = [
    pytest.param("[[Four]]", 4, id="marker with a word"),
    pytest.param("[[FIVE]]", 5, id="marker with a word in capitals"),
    pytest.param("[[四]]", 4, id="marker with a Chinese number"),
    pytest.param("[[4.0]]", 4, id="marker with a decimal point"),
    pytest.param("[[04]]", 4, id="marker with a zero"),
    pytest.param("[[4 out of 5]]", 4, id="marker with the scale"),
    pytest.param("[[4 points]]", 4, id="marker with points"),
    pytest.param("The score is four because there is not a single error.", 4, id="word in a clause"),
    pytest.param("Rating: two, as the sign is cut off.", 2, id="word after a label"),
    pytest.param("# 4", 4, id="heading"),
    pytest.param("> 4", 4, id="quotation"),
    pytest.param("- 4", 4, id="list item"),
    pytest.param("4 (on a scale of 1 to 5)", 4, id="scale in brackets"),
    pytest.param("Actually it is clear. Score: 4", 4, id="a word of correction, and one score"),
    pytest.param("Actually, on a scale of 1 to 5, I'd say 4.", 4, id="a word of correction, and the scale"),
    pytest.param("4\nFirst, the wording is clear.\n2 dogs are there.", 4, id="first line"),
    pytest.param("It is clear.\nIt names a colour.\n4", 4, id="last of three lines"),
    pytest.param("1. It is clear.\n2. It is short.\n4", 4, id="last line after a list"),
    pytest.param("Score: 3. The text says 2. Then it ends.", 3, id="a later number is no list item"),
    pytest.param("Score: 1. The text is not legible.", 1, id="no list follows"),
]  # fmt: skip
REFUSED = [
    pytest.param("[[4-5]]\nScore: 4", id="range in the marker"),
    pytest.param("[[4]]\n[[five]]", id="number and word"),
    pytest.param("I rate it 4 on a scale of 1 to 10", id="another scale"),
    pytest.param("满分10分，我打4分", id="another Chinese scale"),
    pytest.param("Score: 4. Actually, 3.", id="corrected"),
    pytest.param("Score: 4 → 3", id="replaced"),
    pytest.param("Score: 4, or, if you are lenient, score: 5", id="two scores, one of them with a condition"),
    pytest.param("SCORE: 4. Perhaps score: 5", id="two scores, one of them a guess"),
    pytest.param("Q: 4", id="one capital letter as the label"),
    pytest.param("q: 4", id="one letter as the label"),
    pytest.param("Dogs: 4", id="a count"),
    pytest.param("Word count: 4", id="a labelled count"),
    pytest.param("Score:\n1. The text is clear.\n2. It names a colour.", id="list after the label"),
    pytest.param("Score: 1. Clear wording 2. No errors", id="list on one line"),
    pytest.param("I read it twice. Score: 1. Clear wording 2. No errors", id="list on one line after a sentence"),
    pytest.param("I read it twice. Score:\n1. It names one colour.", id="list of one item after the label"),
    pytest.param("1. It is clear\n2. It is short\n4.", id="a last item without text"),
    pytest.param("1) It is clear\n2) It is short\n4)", id="a last item with a bracket"),
    pytest.param("The sign is red.\n4 dogs\nIt is clear.", id="a count on a line"),
]


@pytest.mark.parametrize(("text", "score"), SPELLED)
def test_scores_in_other_spellings_and_places(text: str, score: int) -> None:
    assert parse_score(text) == score


@pytest.mark.parametrize("text", REFUSED)
def test_numbers_that_only_look_like_a_score(text: str) -> None:
    with pytest.raises(UnusableAnswer, match="no score from 1 to 5"):
        parse_score(text)


@pytest.mark.parametrize(
    ("text", "score"),
    [
        pytest.param('{"clarity": 3, "reason": "The sign is red."}', 3, id="an axis"),
        pytest.param('{"clarity": "[[3]]"}', 3, id="marker in a text"),
        pytest.param('{"clarity": "[3]"}', 3, id="brackets in a text"),
        pytest.param('{"clarity": "3 / 5"}', 3, id="scale in a text"),
        pytest.param('{"reason": "It is short.", "clarity": "3 out of 5"}', 3, id="scale in words"),
        pytest.param('{"clarity": 3.0}', 3, id="float"),
        pytest.param('{"clarity": "three"}', None, id="word"),
        pytest.param('{"clarity": 3}.', 3, id="full stop"),
        pytest.param('{"clarity": 3}\nThat is all.', 3, id="text after it"),
        pytest.param('The result:\n{"clarity": 3}', 3, id="text before it"),
        pytest.param('{"reason": "It says {x}.", "clarity": 3}', 3, id="opening brace in a text"),
        pytest.param('{"reason": "It says }.", "clarity": 3}', 3, id="closing brace in a text"),
        pytest.param('{"confidence": 5, "score": 3}', 3, id="the key that names a score"),
        pytest.param('{"final_score": 3, "relevance": 5}', 3, id="the key that names a score with a prefix"),
        pytest.param('{"word_count": 5, "clarity": 3}', 3, id="a count"),
        pytest.param('{"score": 3, "score_range": "1-5"}', 3, id="the range of scores"),
        pytest.param('{"clarity": 3, "maximum": 5}', 3, id="the highest score"),
        pytest.param('{"max_value": 5, "clarity": 3}', 3, id="the highest score first"),
        pytest.param('{"max_score": 5, "clarity": 3}', 3, id="a limit whose key names a score"),
        pytest.param('{"max_score": 5}', None, id="only a limit"),
        pytest.param('{"score_range": "5", "total_score": 4}', None, id="only limits"),
        pytest.param('{"reason": "The score is 4.", "max_score": 5}', 4, id="a limit, and a score in a text"),
        pytest.param('{"clarity": 3, "legible": true}', 3, id="a boolean"),
        pytest.param('{"clarity": 3, "notes": ["2 dogs"], "more": {"x": 1}}', 3, id="a list and an object"),
        pytest.param('{"clarity": 3, "reason": "2 of the 4 dogs are hidden"}', 3, id="numbers in a sentence"),
        pytest.param('{"clarity": 3, "truth": 3}', 3, id="two axes that agree"),
        pytest.param('{"clarity": 3, "truth": 4}', None, id="two axes that differ"),
        pytest.param('{"score": 4.5}', None, id="half"),
        pytest.param('{"score": "3-4"}', None, id="range"),
        pytest.param('{"score": true}', None, id="true is no number"),
        pytest.param('{"score": null}', None, id="null"),
        pytest.param('{"dogs": 3}', None, id="only a count"),
        pytest.param('{"clarity": 9}', None, id="out of range"),
        pytest.param('[{"clarity": 3}, {"clarity": 4}]', None, id="list of two"),
    ],
)
def test_scores_in_json(text: str, score: int | None) -> None:
    if score is not None:
        assert parse_score(text) == score
        return
    with pytest.raises(UnusableAnswer):
        parse_score(text)


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


SPACES = st.text(" \t\n", max_size=4)


@given(st.sampled_from([*GIVEN, *(case.values for case in SPELLED)]), SPACES, SPACES)
def test_white_space_around_an_answer_changes_nothing(case: tuple[str, int], before: str, after: str) -> None:
    text, score = case
    assert parse_score(f"{before}{text}{after}") == score


@given(
    st.integers(-200, 200),
    st.integers(0, 3),
    st.integers(1, 20),
    st.sampled_from(["[[{}]]", "Score: {}", "{}", '{{"score": {}}}']),
)
def test_a_score_outside_of_the_scale_is_never_returned(number: int, low: int, width: int, form: str) -> None:
    high = low + width
    try:
        assert parse_score(form.format(number), low, high) == number
        assert low <= number <= high
    except UnusableAnswer:
        assert form != "[[{}]]" or not low <= number <= high


PIECES = [
    "4",
    "5",
    "3/5",
    "Score: ",
    "[[4]]",
    "[[5]]",
    " or ",
    " not ",
    "\n",
    ". ",
    "I'd give it a ",
    "1 to 5",
    "{",
    '"score": ',
    "}",
    "dogs",
    "得",
    "分",
]


@given(st.lists(st.sampled_from(PIECES), max_size=8))
def test_a_returned_score_is_in_the_answer(pieces: list[str]) -> None:
    text = "".join(pieces)
    try:
        score = parse_score(text)
    except UnusableAnswer:
        return
    assert str(score) in text
    assert 1 <= score <= 5
