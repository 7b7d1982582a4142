from __future__ import annotations

import json

import pytest

from mminf.errors import AskAgain
from mminf.step.parse import parse_json, parse_regex, parse_score, parse_tag


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("[[4]]", 4),
        ("I first thought [[2]], but it is [[4]]", 4),
        ("4/5", 4),
        ("**4**/5", 4),
        ("Score: 4", 4),
        ("**Score:** 4", 4),
        ("Score (1-5): 3", 3),
        ("I rate 4 on a scale of 1 to 5", 4),
        ("On a scale from 1 to 5, I rate this a 4.", 4),
        ("The rating is 4 out of 5.", 4),
        ('{"Score": "[[3]]"}', 3),
        ('{"Score": 3}', 3),
        ("I'd give it a 3.", 3),
        ("There are 3 dogs, so the score would be 5.", 5),
        ("It mentions 2 cats.\n\n**5**", 5),
        ("评分：4", 4),
        ("3", 3),
        ("Only 2 of 5 objects are visible.\nScore: 4", 4),
        ("3/5 of the text is legible. Rating: 5", 5),
        ("My score is: 4. A score of 5 would need more.", 4),
        ("The rating is 4/5", 4),
    ],
)
def test_scores_as_judges_write_them(text: str, score: int) -> None:
    assert parse_score(text) == score


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fine",
        "[[4.5]]",
        "[[6]]",
        "[[x]]",
        "4.5",
        "8/10",
        "Score: 4.5",
        "100",
        "-1",
        "5 is best. 1 is worst",
        "0",
        "I would not give it a 5. It is a 3.",
        "Score: 4. No, score: 5",
        "3/5 of it is legible",
    ],
)
def test_what_is_no_score_is_asked_again(text: str) -> None:
    with pytest.raises(AskAgain, match="no score from 1 to 5"):
        parse_score(text)


def test_other_scales() -> None:
    assert parse_score("8/10", 1, 10) == 8
    assert parse_score("I rate 8 on a scale of 1 to 10", 1, 10) == 8
    with pytest.raises(AskAgain):
        parse_score("[[8]]", 1, 5)


def test_tags() -> None:
    assert parse_tag("<answer> yes </answer>", "answer") == "yes"
    assert parse_tag("<start of answer>\nyes\n<end of answer>", "answer") == "yes"
    for text in ("<answer>yes", "<answer></answer>", "yes"):
        with pytest.raises(AskAgain, match="no <answer>"):
            parse_tag(text, "answer")


@pytest.mark.parametrize(
    "text",
    [
        '{"a": [1, 2]}',
        'Sure!\n```json\n{"a": [1, 2]}\n```\nDone.',
        '{"a": [1, 2],}',
        "{'a': [1, 2]}",
        'x {"a": [1, 2]} y',
    ],
    ids=["plain", "fenced", "comma", "quotes", "chatter"],
)
def test_json_is_found_and_repaired(text: str) -> None:
    assert parse_json(text) == {"a": [1, 2]}


def test_fences_inside_a_value_are_part_of_it() -> None:
    value = {"q": {"x": 1}, "a": "```py\nf()\n```"}
    text = json.dumps(value)
    assert parse_json(text) == parse_json(f"```json\n{text}\n```") == value


@pytest.mark.parametrize("text", ["none", '{"a": 1', "[1, 2"], ids=["none", "cut object", "cut list"])
def test_json_that_is_missing_or_cut_off_is_asked_again(text: str) -> None:
    with pytest.raises(AskAgain):
        parse_json(text)


def test_patterns() -> None:
    assert parse_regex("Q: why? A: so", r"Q: (?P<q>.*?) A: (?P<a>.*)") == {"q": "why?", "a": "so"}
    assert parse_regex("Q: why?", r"Q: (.*)") == "why?"
    with pytest.raises(AskAgain, match="nothing matches"):
        parse_regex("x", "Q:")
