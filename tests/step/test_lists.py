"""Steps over the items of a list, rounds, draws, choices, comparisons: on the scripted engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mminf.errors import RecipeError
from mminf.recipe.schema import make_schema

from ..conftest import read_rows
from .runs import Run


def test_short_forms_are_in_the_schema() -> None:
    schema = json.dumps(make_schema())
    assert '"for_each": {"anyOf": [{"type": "string"}' in schema
    assert '"history": {"anyOf": [{"type": "string"}' in schema


def test_a_list_that_is_too_short_or_too_long_is_asked_for_again(go: Run, calls_log: Path) -> None:
    reply = """
if "always" in text:
    return "\\n".join(f"{n}. Question {n}?" for n in range(1, 41))
return "1. One?\\n2. Not a question.\\n3. Two?" if request.sampling.temperature else "1. One?"
"""
    steps = """
    - generate:
        engine: a
        prompt: "{{ q }}"
        extract: {lines: qs, matching: '[?？]$', item: question, count: [2, 8]}
    """
    found = go(steps, {"id": "x", "q": "sometimes"}, {"id": "y", "q": "always"}, reply=reply)
    assert found["rows"]["x"]["qs"] == [{"question": "One?"}, {"question": "Two?"}]
    assert found["failed"]["y"].startswith("40 items that match '[?？]$', not 2 to 8, in '1. Question 1?")


def test_a_conversation_goes_on_from_its_earlier_turns(go: Run) -> None:
    reply = 'return " | ".join(f"{turn.role}:{turn.text}" for turn in request.turns) + f" {request.open_turn}"'
    steps = """
    - generate: {engine: a, history: talk, system: be brief, prompt: "{{ q }}", writes: said}
    - hook: {engine: a, images: false, history: {field: talk}, writes: next}
    """
    talk = [{"instruction": "hi", "response": "hello"}]
    found = go(
        steps, {"id": "x", "q": "why?", "talk": talk}, {"id": "y", "q": "why?", "talk": []},
        {"id": "bad", "q": "why?", "talk": [{"instruction": "hi"}]}, {"id": "none", "q": "why?", "talk": "hi"},
        reply=reply,
    )  # fmt: skip
    assert found["rows"]["x"]["said"] == "system:be brief | user:hi | assistant:hello | user:why? None"
    assert found["rows"]["x"]["next"] == "user:hi | assistant:hello | user: user"
    assert found["rows"]["y"]["said"] == "system:be brief | user:why? None"
    assert found["failed"]["bad"].startswith("field 'talk' is not a list of turns with 'instruction' and 'response'")
    assert found["failed"]["none"].startswith("field 'talk' is not a list of turns")


def test_images_stand_in_the_first_turn_of_a_conversation(go: Run, tmp_path: Path, images: Path) -> None:
    picture = str(sorted(images.iterdir())[0])
    reply = 'return " | ".join(str([type(part).__name__ for part in turn.parts]) for turn in request.turns)'
    found = go(
        '- generate: {engine: a, history: talk, prompt: "{{ images }}{{ q }}", writes: said}\n'
        "- hook: {engine: a, history: talk, writes: next}\n",
        {"id": "x", "q": "why?", "images": [picture], "talk": [{"instruction": "hi", "response": "hello"}]},
        {"id": "y", "q": "why?", "images": [picture], "talk": []},
        reply=reply,
        source={"jsonl": {"path": str(tmp_path / "rows.jsonl"), "allow_any_path": True}},
    )
    assert found["rows"]["x"]["said"] == "['ImagePart', 'str'] | ['str'] | ['str']"
    assert found["rows"]["x"]["next"] == "['ImagePart', 'str'] | ['str'] | []"
    assert found["rows"]["y"]["said"] == "['ImagePart', 'str']"
    assert found["rows"]["y"]["next"] == "['ImagePart']"


def test_rows_with_several_turns(go: Run, tmp_path: Path) -> None:
    talk = [{"instruction": "one", "response": "1"}, {"instruction": "two", "response": "2"}]
    rows = [{"id": str(n), "talk": talk} for n in range(40)]
    sinks = [
        {"swift": {"path": "s.jsonl", "turns": "talk", "placeholders": 1}},
        {"llava": {"path": "l.jsonl", "turns": "talk", "placeholders": 1, "image_at": "random", "id_prefix": "u_"}},
        {"jsonl": "out.jsonl"},
    ]
    go("- keep: 1 == 1\n", *rows, {"id": "bad", "talk": []}, {"id": "half", "talk": [*talk[:1], {"n": 1}]}, sinks=sinks)
    swift = read_rows(tmp_path / "out" / "s.jsonl")
    assert len(swift) == 40
    assert [turn["content"] for turn in swift[0]["messages"]] == ["<image>one", "1", "two", "2"]  # type: ignore[attr-defined]
    llava = read_rows(tmp_path / "out" / "l.jsonl")
    first: Any = [row["conversations"][0]["value"] for row in llava]  # type: ignore[index]
    assert set(first) == {"<image>\none", "one\n<image>"}
    assert llava[0]["id"] == "u_0"
    assert json.dumps(llava).count("<image>") == 40


def test_the_likelihood_of_an_answer_needs_log_probabilities(go: Run) -> None:
    found = go("- generate: {engine: a, prompt: hi, nll: nll}\n", {"id": "x"})
    assert "returned no log-probabilities" in found["failed"]["x"]
    with pytest.raises(RecipeError, match="n > 1 needs `into`"):
        go("- generate: {engine: a, prompt: hi, n: 2}\n", {"id": "x"})
    with pytest.raises(RecipeError, match="needs a temperature"):
        go("- generate: {engine: a, prompt: hi, n: 2, into: list}\n", {"id": "x"})
