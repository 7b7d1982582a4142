"""`extract: {objects: FIELD, keys: ...}`, and the synonyms of values."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from mminf.errors import UnusableAnswer
from mminf.request import Generation
from mminf.step.extract import Extraction
from mminf.testing import StubGateway, run_step

KEYS = {"instruction": "question", "response": "answer"}
PAIRS = Extraction(objects="turns", keys=KEYS, count=(1, 3))
PAIR = {"question": "What?", "answer": "That."}
WANTED = [{"instruction": "What?", "response": "That."}]


@pytest.mark.parametrize(
    "answer",
    [
        json.dumps([PAIR]),
        json.dumps({"pairs": [PAIR]}),
        json.dumps({"id": 1, "tags": ["a"], "pairs": [PAIR]}),
        json.dumps(PAIR),
        "Here you are:\n```json\n" + json.dumps([{**PAIR, "skills": ["x"]}]) + "\n```",
        json.dumps([PAIR]).replace('"}]', '",}]'),
        json.dumps([{"Question": " What? ", "ANSWER": "That."}]),
    ],
)
def test_a_list_of_objects_is_read(answer: str) -> None:
    assert PAIRS.apply(answer, "") == {"turns": WANTED}


def test_values_are_texts_or_lists_of_texts() -> None:
    answer = json.dumps([{"question": 5, "answer": ["a", 2.5]}, PAIR])
    assert PAIRS.apply(answer, "")["turns"] == [{"instruction": "5", "response": ["a", "2.5"]}, *WANTED]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("I can't do that.", "no JSON"),
        (json.dumps([PAIR])[:-3], "cut off"),
        ("[]", "0 items, not 1 to 3"),
        (json.dumps([PAIR] * 4), "4 items, not 1 to 3"),
        (json.dumps(["What?"]), "no list of objects"),
        (json.dumps([{"question": "What?"}]), "no key 'answer'"),
        (json.dumps([{"question": "What?", "answer": " "}]), "no text for response"),
        (json.dumps([{"question": None, "answer": []}]), "no text for instruction, response"),
        (json.dumps([{"question": {"a": 1}, "answer": True}]), "no text for instruction, response"),
        (json.dumps([{"question": "What?", "answer": ["a", None]}]), "no text for response"),
        (json.dumps([PAIR, {"question": "...", "answer": "x"}]), "placeholder"),
    ],
)
def test_a_list_with_anything_else_is_retried(answer: str, problem: str) -> None:
    with pytest.raises(UnusableAnswer, match=problem):
        PAIRS.apply(answer, "")


def test_objects_need_keys() -> None:
    with pytest.raises(ValidationError, match="needs `keys`"):
        Extraction(objects="turns", lines="x")


def test_the_field_of_the_list_is_written() -> None:
    config = {"engine": "llm", "prompt": "Go.", "extract": {"objects": "turns", "keys": KEYS}}
    assert run_step("generate", config, {}, answers=[json.dumps([PAIR])]) == {"turns": WANTED}


TAG = Extraction(
    keys={"quality": "quality"},
    values={"quality": {"very poor": ["bad"], "good": ["great", "Very-Good"], "other": []}},
)


@pytest.mark.parametrize(
    ("said", "meant"),
    [("Good", "good"), ("great.", "good"), ("very_good", "good"), ("VERY  POOR", "very poor"), ("Bad", "very poor"), ("other", "other")],
)  # fmt: skip
def test_a_synonym_becomes_its_value(said: str, meant: str) -> None:
    assert TAG.apply(json.dumps({"Quality": said}), "") == {"quality": meant}


@pytest.mark.parametrize("said", ["goodish", "", None, 5, {"a": "good"}, "good or great", []])
def test_any_other_value_is_retried(said: object) -> None:
    with pytest.raises(UnusableAnswer):
        TAG.apply(json.dumps({"quality": said}), "")


def test_each_item_of_a_list_must_be_known() -> None:
    assert TAG.apply('{"quality": ["Great", "bad"]}', "") == {"quality": ["good", "very poor"]}
    with pytest.raises(UnusableAnswer, match="'splendid'"):
        TAG.apply('{"quality": ["great", "splendid"]}', "")


def test_a_key_is_found_in_any_case_if_it_is_the_only_one() -> None:
    keys = Extraction(keys={"answer": "final answer"})
    assert keys.apply('{"Final_Answer": "x"}', "") == {"answer": "x"}
    assert keys.apply('{"Final_Answer": "x", "final answer": "y"}', "") == {"answer": "y"}
    with pytest.raises(UnusableAnswer, match="no key"):
        keys.apply('{"Final_Answer": "x", "FINAL ANSWER": "y"}', "")


PROMPT = "Copy the thoughts of this person, and change nothing else: {{ thought }}\n[Begin of Thoughts]"


@pytest.mark.parametrize(
    ("extract", "answer"),
    [
        (None, "Copy the thoughts of this person, and change nothing else:\nThe cup is red."),
        (None, "The cup is red. [Begin of Thoughts]"),
        ({"tags": {"response": "a"}}, "<a>Copy the thoughts of this person, and change nothing else</a>"),
        (
            {"objects": "list", "keys": {"a": "a"}},
            '[{"a": "copy the thoughts of this person, and change nothing else"}]',
        ),
    ],
)
def test_an_answer_that_repeats_the_prompt_is_retried(extract: object, answer: str) -> None:
    config = {"engine": "llm", "prompt": PROMPT, "extract": extract}
    with pytest.raises(UnusableAnswer, match="repeats the prompt"):
        run_step("generate", config, {"thought": "The cup is red."}, answers=[answer])


def test_an_answer_may_repeat_a_field_and_the_reasoning_the_prompt() -> None:
    """Only the text that is the same for all records can't be an answer."""
    said = "A long thought about a red cup that stands on a table."
    config = {"engine": "llm", "prompt": PROMPT, "reasoning": "why"}
    answer = Generation(said, "stop", 1, 1, reasoning="I copy the thoughts of this person, and change nothing else.")
    found = run_step("generate", config, {"thought": said}, gateway=StubGateway([answer]))
    assert found == {"response": said, "why": answer.reasoning}
