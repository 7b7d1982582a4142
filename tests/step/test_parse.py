from __future__ import annotations

import json

import pytest

from mminf.errors import UnusableAnswer
from mminf.step.parse import parse_json, parse_lines, parse_regex, parse_score, parse_tag


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
    with pytest.raises(UnusableAnswer, match="no score from 1 to 5"):
        parse_score(text)


def test_other_scales() -> None:
    assert parse_score("8/10", 1, 10) == 8
    assert parse_score("I rate 8 on a scale of 1 to 10", 1, 10) == 8
    with pytest.raises(UnusableAnswer):
        parse_score("[[8]]", 1, 5)


def test_tags() -> None:
    assert parse_tag("<answer> yes </answer>", "answer") == "yes"
    assert parse_tag("<start of answer>\nyes\n<end of answer>", "answer") == "yes"
    for text in ("<answer>yes", "<answer></answer>", "yes"):
        with pytest.raises(UnusableAnswer, match="no <answer>"):
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
    with pytest.raises(UnusableAnswer):
        parse_json(text)


def test_patterns() -> None:
    assert parse_regex("Q: why? A: so", r"Q: (?P<q>.*?) A: (?P<a>.*)") == {"q": "why?", "a": "so"}
    assert parse_regex("Q: why?", r"Q: (.*)") == "why?"
    with pytest.raises(UnusableAnswer, match="nothing matches"):
        parse_regex("x", "Q:")


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("1. What is it?\n2. Who made it?", ["What is it?", "Who made it?"]),
        ("Here are five questions:\n\n1) One?\n2) Two?\n\nI hope this helps!", ["One?", "Two?"]),
        ("- **One?**\n* Two?\n• Three?", ["One?", "Two?", "Three?"]),
        ("Sure! Questions:\nOne?\nTwo?", ["One?", "Two?"]),
        ('["One?", "Two?"]', ["One?", "Two?"]),
        ('```json\n["One?", "Two?"]\n```', ["One?", "Two?"]),
        ("Q1: One?\nQuestion 2: Two?", ["One?", "Two?"]),
        ("1、图中有什么？\n2、它在哪里？", ["图中有什么？", "它在哪里？"]),
        ("以下是问题：\n图中有什么？", ["图中有什么？"]),
        ("One?\nOne?\nTwo?", ["One?", "Two?"]),
        ("3.5 metres wide\n10:30 on the clock", ["3.5 metres wide", "10:30 on the clock"]),
        ("“One?”", ["One?"]),
        ("   \n \n", []),
        ("1.What is it?\n12.Who?", ["What is it?", "Who?"]),
        ("问题一：图中有什么？\n问题二：它在哪里？", ["图中有什么？", "它在哪里？"]),
        ("第一个问题：图中有什么？\n第二个问题：它在哪里？", ["图中有什么？", "它在哪里？"]),
        ("一、图中有什么？\n二、它在哪里？", ["图中有什么？", "它在哪里？"]),
        ("① One?\n② Two?", ["One?", "Two?"]),
        ("1．One?\n2．Two?", ["One?", "Two?"]),
        ("a) One?\nb) Two?", ["One?", "Two?"]),
        ("[1] One?\n[2] Two?", ["One?", "Two?"]),
        ("Question One: One?\nQuestion Two: Two?", ["One?", "Two?"]),
        ("1 - One?\n2 - Two?", ["One?", "Two?"]),
        ("#1 One?\n#2 Two?", ["One?", "Two?"]),
        ("Request: Do it.", ["Do it."]),
        ("What is the man holding?\n- Is it a cup?", ["What is the man holding?", "Is it a cup?"]),
        (
            "1. **Composition**: What is in front?\n2. *Colour*: Which?",
            ["Composition: What is in front?", "*Colour*: Which?"],
        ),
        ('1. "STOP" is on the sign; why?\n2. "All of it?"', ['"STOP" is on the sign; why?', "All of it?"]),
        ('Describe the sign that says "Exit"', ['Describe the sign that says "Exit"']),
        ('Here you go:\n```json\n[\n "One?",\n "Two?"\n]\n```', ["One?", "Two?"]),
        ('{"questions": ["One?", "Two?"]}', ["One?", "Two?"]),
        ('[{"question": "One?"},\n {"question": "Two?"}]', ["One?", "Two?"]),
        ('{"question": "One?"}\n{"question": "Two?"}', ["One?", "Two?"]),
    ],
)
def test_lists_as_models_write_them(text: str, items: list[str]) -> None:
    assert parse_lines(text) == items


@pytest.mark.parametrize(
    "text",
    ['["One?", "Where is the', '{"a": ["x"], "b": ["y"]}', '[["One?"]]', '[{"q": "One?", "a": "Yes."}]', "[1, 2]"],
)
def test_json_that_is_no_list_of_texts_is_asked_for_again(text: str) -> None:
    with pytest.raises(UnusableAnswer):
        parse_lines(text)


def test_json_that_was_cut_off_is_never_mended() -> None:
    with pytest.raises(UnusableAnswer, match="cut off"):
        parse_json('{"pairs": [{"q": "a?", "a": "b"}, {"q": "c?", "a": "{x} and the')
    with pytest.raises(UnusableAnswer, match="cut off"):
        parse_json('[{"q": "a?"}, {"q": "b?"}')
    assert parse_json('{"a": [1, 2,], }') == {"a": [1, 2]}
    assert parse_json('{"a": 1}\n{"a": 2}') == [{"a": 1}, {"a": 2}]
    assert parse_json('As [1] and [see below] show: {"a": [1]}') == {"a": [1]}


@pytest.mark.parametrize(
    "text", ["[" * 20_000 + "]" * 20_000, '{"a": ' + "9" * 5_000 + "}", "\\boxed{4} " * 5_000, '{"a":' * 9_000]
)
def test_json_that_no_one_can_read_is_asked_for_again(text: str) -> None:
    with pytest.raises(UnusableAnswer):
        parse_json(text)


def test_tags_that_json_hides_mark_no_place() -> None:
    assert parse_json('{"q": ["Is \\u003cimage\\u003e red?"]}') == {"q": ["Is < image> red?"]}


def test_a_form_is_no_list() -> None:
    for text in ("1. [question]\n2. [question]", "1. 问题\n2. 问题", "| # | Question |\n|---|---|\n| 1 | Why? |"):
        with pytest.raises(UnusableAnswer):
            parse_lines(text)


def test_a_tag_that_is_named_before_it_is_opened() -> None:
    assert parse_tag("Let me use <prompt> first.\n<prompt>Real?</prompt> done", "prompt") == "Real?"
