"""ALLaVA's styles: one call, a session, given questions, text."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from mminf_plugins.allava.distil import _chosen

from mminf.errors import UnusableAnswer

from ..conftest import ROOT
from .conftest import Play

Pictures = Callable[..., list[str]]


@pytest.mark.parametrize("question", ["How many rats are on the sofa?", "Why isn't the cat on the sofa?"])
def test_a_question_with_another_word_is_not_the_candidate(question: str) -> None:
    candidates = ["How many cats are on the sofa?", "Why is the cat on the sofa?"]
    assert _chosen("how many cats are on the sofa", candidates) == candidates[0]
    with pytest.raises(UnusableAnswer, match="is not one of the candidates"):
        _chosen(question, candidates)


WHOLE = """<start of description>
A {0}.
<end of description>
<start of candidate questions>
1. Q1?
2. Q2?
3. Q3?
4. Q4?
5. Why {0}?
<end of candidate questions>
<start of question>
5. Why {0}?
<end of question>
<start of answer>
Because {0}.
<end of answer>"""

LAION = f"""
name = request.images[0].uri.rsplit("/", 1)[1].removesuffix(".png")
whole = {WHOLE!r}.format(name)
if name == "few":
    return whole.replace("2. Q2?\\n", "")
if name == "cut":
    return whole.split("<end of answer>")[0]
if name == "empty":
    return whole.replace("Because empty.", " ")
if name == "late" and request.seed % 2:
    return "I can't help with that."
return whole
"""


def items(names: list[str], **more: object) -> list[dict[str, object]]:
    return [{"id": name.removesuffix(".png"), "images": [name], **more} for name in names]


def test_all_parts_or_nothing(play: Play, pictures: Pictures) -> None:
    rows = items(
        pictures("good", "cut", "empty", "late", "few"), original_caption="SECRET", url="http://example.org/a.jpg"
    )
    rows += [
        {"id": "plain", "images": pictures("plain")},
        {"id": "small", "images": pictures("small", size=(511, 900))},
    ]
    found = play("allava_laion", rows, LAION, **{"steps.distil.attempts": 20})
    captions, instructions = found.rows["caption.json"], found.rows["instruct.json"]
    names = ["good", "late", "plain"]
    assert [row["id"] for row in captions] == [f"allava_laion_cap_{name}" for name in names]
    assert [row["id"] for row in instructions] == [f"allava_laion_inst_{name}" for name in names], (
        "the same n links both"
    )
    assert "no <answer>" in found.failed["cut"]
    assert "4 candidate questions, not 5" in found.failed["few"]
    assert "no <answer>" in found.failed["empty"]
    assert found.dropped["small"][1] == "not short_side >= 512 (short_side=511)"
    assert captions[0]["conversations"][1]["value"] == "A good."
    assert instructions[0]["conversations"] == [
        {"from": "human", "value": "<image>\nWhy good?"},
        {"from": "gpt", "value": "Because good."},
    ]
    assert captions[0]["original_caption"] == instructions[0]["original_caption"] == "SECRET"
    assert captions[0]["url"] == "http://example.org/a.jpg"
    assert "url" not in captions[2]
    assert not found.asked("SECRET")
    assert not found.asked("example.org")
    lines = (ROOT / "templates/allava/requests.txt").read_text().splitlines()
    requests = [line for line in lines if line and not line.startswith("#")]
    assert len(set(requests)) == 15
    assert {row["conversations"][0]["value"].removeprefix("<image>\n") for row in captions} <= set(requests)


SESSION = """
turns = [turn.role for turn in request.turns]
name = request.images[0].uri.rsplit("/", 1)[1].removesuffix(".png")
if len(turns) == 1:
    return f"A {name}."
if len(turns) == 3:
    assert request.turns[1].text == f"A {name}."
    few = "Q1?\\nQ2?" if name == "few" else ""
    return few or "\\n".join(f"{n}. Question {n}?" for n in range(1, 6))
assert turns == ["user", "assistant", "user", "assistant", "user"], turns
assert request.turns[3].text.splitlines()[2] == "Question 3?"
return "Answer to " + text.splitlines()[-1]
"""


def test_a_session_sees_its_earlier_turns_and_draws_its_question(play: Play, pictures: Pictures) -> None:
    names = [f"p{n}" for n in range(24)]
    found = play("allava_session", items(pictures(*names, "few")), SESSION)
    assert found.failed == {"few": "ask: 2 items, not 5 to 5 (3 attempts)"}
    pairs = [[turn["value"] for turn in row["conversations"]] for row in found.rows["instruct.json"]]
    assert len(pairs) == 24
    assert {user for user, _ in pairs} == {f"<image>\nQuestion {n}?" for n in range(1, 6)}, "all five get their turn"
    assert all(answer == "Answer to " + user.removeprefix("<image>\n") for user, answer in pairs)
    assert len(found.calls) == 24 * 3 + 1 + 3


def test_given_questions_stay_as_they_are(play: Play, pictures: Pictures) -> None:
    reply = """
    assert "decline" in text and "without bias" in text
    if "```question\\nWho?" in text:
        return "<start of description>A cat.</end of description><start of detailed answer>I would rather not say."
    return "<start of description>A cat.<end of description>\\n<start of detailed answer>It is red.<end of detailed answer>"
    """
    rows = [
        {"id": "0", "images": pictures("red"), "instruction": "What colour?", "response": "OLD"},
        {"id": "1", "images": pictures("red"), "instruction": "Who?"},
    ]
    found = play("allava_vflan", rows, reply)
    assert found.rows["instruct.json"] == [
        {
            "id": "allava_vflan_inst_0",
            "image": found.rows["instruct.json"][0]["image"],
            "conversations": [
                {"from": "human", "value": "<image>\nWhat colour?"},
                {"from": "gpt", "value": "It is red."},
            ],
        }
    ]
    assert found.rows["caption.json"][0]["conversations"][1]["value"] == "A cat."
    assert list(found.failed) == ["1"]
    assert not found.asked("OLD")


def test_text_is_answered_anew(play: Play) -> None:
    rows = [{"id": "a", "instruction": "Say hi.", "response": "OLD"}, {"id": "b", "instruction": ""}, {"id": "c"}]
    found = play("allava_text", rows, "return f'New: {text}'")
    assert [[m["content"] for m in row["messages"]] for row in found.rows["allava_text.jsonl"]] == [
        ["Say hi.", "New: Say hi."]
    ]
    assert set(found.failed) == {"b", "c"}
    assert json.dumps(found.calls).count("OLD") == 0


@pytest.mark.parametrize("name", ["allava_laion", "allava_session", "allava_vflan"])
def test_what_must_not_be_asked_is_said_in_the_prompt(name: str) -> None:
    template = {"allava_laion": "laion", "allava_session": "ask", "allava_vflan": "vflan"}[name]
    text = (ROOT / "templates" / "allava" / f"{template}.jinja").read_text()
    wanted = ("bias", "decline") if name == "allava_vflan" else ("violence", "advertise", "privacy", "uncomfortable")
    assert all(word in text for word in wanted)
