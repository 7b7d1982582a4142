"""What the recipes' filters of texts drop, and that they leave the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import mminf
from mminf import api

from .conftest import Play
from .test_oasis_extras import OASIS
from .test_unicorn import UNICORN, seeds

Pictures = Callable[..., list[str]]

REFUSAL = "I'm sorry, but I can't assist with that."
LOOP = "A cat sits on the mat. " * 12


def items(names: list[str], **more: object) -> list[dict[str, object]]:
    return [{"id": name.removesuffix(".png"), "images": [name], **more} for name in names]


REPLY = f"""
name = request.images[0].uri.rsplit("/", 1)[1].removesuffix(".png") if request.images else ""
special = {{"refused": {REFUSAL!r}, "loop": {LOOP!r}, "leak": "According to the tags, this is a beach."}}
"""


@pytest.mark.parametrize("recipe", ["caption", "caption_check", "densefusion"])
def test_captions_that_refuse_or_loop_are_no_rows(play: Play, pictures: Pictures, recipe: str) -> None:
    reply = REPLY + 'return "Yes" if "one part of a description" in text else special.get(name, "A small red cat.")'
    found = play(recipe, items(pictures("fine", "refused", "loop")), reply)
    rows = next(iter(found.rows[name] for name in ("captions.jsonl", "densefusion.jsonl") if name in found.rows))
    assert [row["id"] for row in rows] == ["fine"]
    assert found.dropped["refused"] == ("refusal", f"caption refuses: {REFUSAL!r}")
    assert found.dropped["loop"][0] == "degenerate"


@pytest.mark.parametrize(
    ("caption", "kept"),
    [
        ("Based on the provided tags, there is a dog on a sofa.", False),
        ("According to the OCR, the board reads OPEN.", False),
        ("The detected objects include a lamp.", False),
        ("A suitcase with a red tag stands by the door, and the text on the sign says OPEN.", True),
    ],
)
def test_dense_captions_do_not_speak_of_their_hints(play: Play, pictures: Pictures, caption: str, kept: bool) -> None:
    found = play("densefusion", items(pictures("a"), tags=["dog"]), f"return {caption!r}")
    assert (len(found.rows["densefusion.jsonl"]) == 1) is kept
    assert kept or found.dropped["a"][0] == "no_talk_of_hints"


def test_oasis_keeps_no_refusal_loop_or_echo(play: Play, pictures: Pictures) -> None:
    reply = f"""
if request.open_turn is None and "[[" not in text and "[Begin of Text]" not in text:
    for name, said in (("refused", {REFUSAL!r}), ("loop", {LOOP!r}), ("echo", text)):
        if name in text:
            return said
"""
    found = play("oasis", items(pictures("a", "refused", "loop", "echo")), reply + OASIS)
    assert [row["id"] for row in found.rows["oasis.jsonl"]] == ["a"]
    steps = {name: step for name, (step, _) in found.dropped.items()}
    assert steps == {"refused": "refusal", "loop": "degenerate", "echo": "degenerate"}


def test_a_garbled_instruction_is_not_judged(play: Play, pictures: Pictures) -> None:
    reply = OASIS.replace('f"What is {name}?")', '"What is it? " * 30 if name == "loop" else f"What is {name}?")')
    found = play("oasis", items(pictures("a", "loop")), reply)
    assert found.dropped["loop"][0] == "degenerate_instruction"
    assert len(found.calls) == 7 + 2, "the scores are not asked"


def test_turns_that_refuse_leave_their_conversation(play: Play, tmp_path: Path) -> None:
    only = {"steps.kind.values": {"multiple_choice": 0, "complex_reasoning": 0}}
    reply = UNICORN.replace('f"Answer {i} of {seed}."', f'"It is {{}}.".format(i + 10) if i else {REFUSAL!r}')
    found = play("unicorn", seeds(tmp_path, "a harbour"), reply, **only)
    (row,) = found.rows["instruct.json"]
    answers = [turn["value"] for turn in row["conversations"][1::2]]
    assert answers == [f"It is {n}." for n in range(11, 18)]


@pytest.mark.parametrize("kept", [False, True])
def test_declined_questions_of_vision_flan_are_kept_only_if_asked_for(
    play: Play, pictures: Pictures, kept: bool
) -> None:
    answer = "I can't answer this question."
    reply = f"""
return "<start of description>A man.<end of description><start of detailed answer>{answer}<end of detailed answer>"
"""
    settings = {"steps.declined": False} if kept else {}
    found = play("allava_vflan", items(pictures("a"), instruction="Who is it?"), reply, **settings)
    values = [row["conversations"][1]["value"] for row in found.rows["instruct.json"]]
    assert values == ([answer] if kept else [])
    assert kept or found.dropped["a"] == ("declined", f"response refuses: {answer!r}")


@pytest.mark.parametrize(("name", "loads"), [("oasis", 3), ("oasis_recycling", 3), ("caption_qa", 3)])
def test_filters_cost_no_further_model_loads(name: str, loads: int) -> None:
    assert f"\n{loads} model loads: " in api.describe_plan(mminf.load(name, overrides={"max_loaded_engines": 1}))
