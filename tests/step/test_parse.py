from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.errors import UnusableAnswer
from mminf.step.parse import parse_json, parse_lines, parse_regex, parse_score, parse_tag, require_contents


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


def test_tags_with_a_name_of_two_words() -> None:
    for text in (
        "<new prompt>Why?</new prompt>",
        "<New\n prompt>Why?</ new  prompt >",
        "<start of new prompt>Why?<end of new prompt>",
    ):
        assert parse_tag(text, "new prompt") == "Why?"
    with pytest.raises(UnusableAnswer, match=r"\A<prompt> is only a placeholder: '\.\.\.'\Z"):
        parse_tag("<prompt>...</prompt>", "prompt")
    assert parse_tag("<prompt>One?</prompt> or <prompt>Two?</prompt>", "prompt") == "Two?", "the last one counts"
    with pytest.raises(UnusableAnswer, match="no <a.b>"):
        parse_tag("<axb>Why?</axb>", "a.b")


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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param('As [1] shows: {"a": ["x"]}', {"a": ["x"]}, id="reference before an object with a list"),
        pytest.param('[1] shows this: {"a": 1}', {"a": 1}, id="reference at the start"),
        pytest.param('See [1]: {"a": ["x"], "b": {"c": 1}}', {"a": ["x"], "b": {"c": 1}}, id="reference before nested objects"),
        pytest.param("Fill {this} in:\n```json\n{\n 'a': 1,\n}\n```\nor {that}", {"a": 1}, id="faulty JSON in a fence"),
        pytest.param("Fill {this} in:\n```JSON\n{'a': 1}\n```", {"a": 1}, id="fence in capitals"),
        pytest.param("Fill {this} in:\n```\n['x', 'y']\n```", ["x", "y"], id="fence without a language"),
        pytest.param("[{'a': [1]}, {'a': [2]}]", [{"a": [1]}, {"a": [2]}], id="faulty list of objects"),
        pytest.param("[{'a': [1]}]", [{"a": [1]}], id="faulty list of one object"),
        pytest.param("{'a': 12} as in [1]", {"a": 12}, id="reference after a faulty object"),
        pytest.param("['x', 'y'] as in {z}", ["x", "y"], id="braces after a faulty list"),
        pytest.param("{'a': 12}", {"a": 12}, id="number at the end"),
        pytest.param('{"a": "say \\"hi\\"",}', {"a": 'say "hi"'}, id="escaped quotes and a comma too many"),
        pytest.param('{"a": "{[", "b": 1,}', {"a": "{[", "b": 1}, id="open brackets in a text and a comma too many"),
        pytest.param('Sure: {"a": 1}\n{"a": 2}, {"a": 3}\nDone.', [{"a": 1}, {"a": 2}, {"a": 3}], id="objects after each other"),
        pytest.param('[1, 2] {"a": 1}', {"a": 1}, id="list before an object"),
        pytest.param('["x"] {"a": 1}', ["x"], id="list of texts before an object"),
    ],
)  # fmt: skip
def test_json_among_other_text(text: str, value: object) -> None:
    assert parse_json(text) == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("none", "no JSON in 'none'", id="none"),
        pytest.param('{"a": "x}", "b": [1', "cut off in", id="bracket in a text"),
        pytest.param('{"a": "say \\"}\\" twice', "cut off in", id="bracket between escaped quotes"),
        pytest.param('{"a": "C:\\\\", "b": {"c": 1}', "cut off in", id="escaped backslash"),
        pytest.param("{'a': [1, 2}", "cut off in", id="list inside is open"),
        pytest.param("]{", "cut off in", id="closed before it is opened"),
        pytest.param("[,]", "no readable JSON in '\\[,\\]'", id="nothing inside"),
        pytest.param("{'a': '" + "x" * 20_000 + "'}", "no readable JSON in \"\\{'a': 'xxx", id="too long to repair"),
        pytest.param("[" * 5_000 + "]" * 5_000, "no readable JSON in '\\[\\[.*: ", id="too deep"),
    ],
)
def test_what_is_wrong_with_json_is_named(text: str, problem: str) -> None:
    with pytest.raises(UnusableAnswer, match=problem):
        parse_json(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | st.text(st.characters(exclude_categories=["C"], exclude_characters="<"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab {}[]\"'", max_size=4), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(
    st.dictionaries(st.sampled_from("abc"), JSON),
    st.sampled_from(["{}", "```json\n{}\n```", "Here it is:\n{}", "{}\nI hope it helps.", "<think>{{</think>{}"]),
)
def test_any_object_is_read_as_it_was_written(value: dict[str, Any], form: str) -> None:
    for indent in (None, 1):
        assert parse_json(form.format(json.dumps(value, indent=indent))) == value


@given(st.dictionaries(st.sampled_from("abc"), JSON, min_size=1), st.data())
def test_an_object_that_is_cut_off_is_never_read(value: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps(value)
    with pytest.raises(UnusableAnswer):
        parse_json(text[: data.draw(st.integers(0, len(text) - 1))])


def test_patterns() -> None:
    assert parse_regex("Q: why\nnot? A: so", r"Q: (?P<q>.*?) A: (?P<a>.*)") == {"q": "why\nnot?", "a": "so"}
    assert parse_regex("Q: why?", r"Q: (?P<q>\S+)(?: A: (?P<a>.*))?") == {"q": "why?", "a": ""}
    assert parse_regex("room  12", r" \d+") == "12"
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
        ("*Questions:*\nOne?\nTwo?", ["One?", "Two?"]),
        ("**Questions:** \n\nOne?", ["One?"]),
        ("```\nOne?\nTwo?\n```", ["One?", "Two?"]),
        ("## Questions\nOne?\n#2 Two?", ["One?", "Two?"]),
        ("One?<br>\nTwo? <br>", ["One?", "Two?"]),
        ("What is |x|\nWhat is |y|", ["What is |x|", "What is |y|"]),
        ("|x|\nWhich sign is it?", ["|x|", "Which sign is it?"]),
        ('["**One?**", "__Two?__", "``"]', ["One?", "Two?", "``"]),
        ("1. \"A\"\n2. 'B'", ["A", "B"]),
        ("1. One?\n\n2. Two?\n\nThese are\nall of\nthem", ["One?", "Two?"]),
        (
            "One?\nTwo?\n- red\n- blue\nThree?\nFour?\nFive?",
            ["One?", "Two?", "red", "blue", "Three?", "Four?", "Five?"],
        ),
    ],
)
def test_lists_as_models_write_them(text: str, items: list[str]) -> None:
    assert parse_lines(text) == items


@pytest.mark.parametrize(
    "text",
    ['["One?", "Where is the', '{"a": ["x"], "b": ["y"]}', '[["One?"]]', '[{"q": "One?", "a": "Yes."}]', "[1, 2]"],
)
def test_json_that_is_no_list_of_texts_is_asked_for_again(text: str) -> None:
    with pytest.raises(UnusableAnswer, match="no list of texts in|cut off in"):
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


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("1. [question]\n2. [question]", r"\Aan item is only a placeholder: '\[question\]'\Z", id="form"),
        pytest.param("1. 问题\n2. 问题", r"\Aan item is only a placeholder: '问题'\Z", id="Chinese form"),
        pytest.param(
            "| # | Question |\n|---|---|\n| 1 | Why? |", r"\Aa table instead of a list in '\| # \|", id="table"
        ),
        pytest.param("| Why? |\n|---|", r"\Aa table instead of a list in", id="table of one row"),
    ],
)
def test_a_form_is_no_list(text: str, problem: str) -> None:
    with pytest.raises(UnusableAnswer, match=problem):
        parse_lines(text)


QUESTIONS = st.lists(
    st.text("abcde xyz,", min_size=1).map(str.strip).filter(bool).map(lambda text: f"Is it {text}?"), min_size=2, max_size=6, unique=True
)  # fmt: skip


@given(
    QUESTIONS,
    st.sampled_from(
        [
            "{number}. {item}",
            "{number}) {item}",
            "- {item}",
            "* **{item}**",
            "Q{number}: {item}",
            '{number}. "{item}"',
            "{item}",
        ]
    ),
)
def test_a_list_is_read_in_any_form(items: list[str], form: str) -> None:
    lines = [form.format(number=number, item=item) for number, item in enumerate(items, 1)]
    for text in ("\n".join(lines), "\n\n".join(lines), "Here they are:\n" + "\n".join(lines)):
        assert parse_lines(text) == items
    assert parse_lines(json.dumps(items)) == items


def test_a_tag_that_is_named_before_it_is_opened() -> None:
    assert parse_tag("Let me use <prompt> first.\n<prompt>Real?</prompt> done", "prompt") == "Real?"


def test_contents_are_checked_at_any_depth() -> None:
    value = {"question": "What is red?", "options": ["a ball", ""], "more": {"n": 4, "none": None, "empty": ""}}
    assert require_contents(value, "answer") is value
    assert require_contents("A ball.", "answer") == "A ball."
    for wrong, what in (
        ("...", "answer"),
        (["A ball.", "..."], "answer"),
        ({"question": "..."}, "question"),
        ({"options": ["a ball", ["..."]]}, "options"),
        ({"more": {"why": "..."}}, "why"),
        ({4: "..."}, "4"),
    ):
        with pytest.raises(UnusableAnswer, match=rf"\A{what} is only a placeholder: '\.\.\.'\Z"):
            require_contents(wrong, "answer")


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("1. Look at the sign.\nWhat does it say?\n2. Why?", ["Look at the sign. What does it say?", "Why?"]),
        ("Here are two:\n\n1. Look.\n   What\n   is it?\n\n2. Why?\n\nI hope this helps!", ["Look. What is it?", "Why?"]),
        ("1. Which of these?\n- a cat\n- a dog\n2. Why?", ["Which of these? - a cat - a dog", "Why?"]),
        ("- One thing,\n  and more?\n- Two?", ["One thing, and more?", "Two?"]),
        ("Look.\nWhat is it?\n\nWhy?", ["Look. What is it?", "Why?"]),
        ("What?\nWhy?", ["What?", "Why?"]),
        ("Questions:\nWhat?\nWhy?", ["What?", "Why?"]),
        ("5. Look.\nWhat is it?", ["Look. What is it?"]),
        ('["Look.\\nWhat?", "Why?"]', ["Look.\nWhat?", "Why?"]),
        ("```\n1. What\nis it?\n2. Why?\n```", ["What is it?", "Why?"]),
        ("", []),
    ],
)  # fmt: skip
def test_items_may_have_several_lines(text: str, items: list[str]) -> None:
    assert parse_lines(text, spanning=True) == items


@given(st.text())
def test_any_list_of_several_lines_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(UnusableAnswer):
        assert all(parse_lines(text, spanning=True))
