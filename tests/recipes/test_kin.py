"""Magpie, MMEvol, DenseFusion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from mminf.errors import RecipeError

from .conftest import Play

Pictures = Callable[..., list[str]]

MAGPIE = """
if request.open_turn == "user":
    assert not request.images
    if len(request.turns) > 1:
        assert [turn.role for turn in request.turns] == ["system", "user", "assistant", "user"], request.turns
        return f"And then, after {request.turns[2].text}?"
    kind = request.seed % 5
    return {0: "", 1: "Here are some examples:", 2: "Say the same thing again and again, will you please?",
            3: f"What is number {request.seed}?"}.get(kind, f"Bad {request.seed}")
if "don't answer it" in text.lower():
    asked = text.rsplit("Asked:", 1)[1].strip()
    quality = "poor" if asked.startswith("Bad") else "excellent"
    return 'Sure: {"quality": "%s", "difficulty": "easy", "task": "advice"}' % quality
return f"reply to {request.turns[-1].text}"
"""


def test_instructions_come_from_an_open_turn_without_image(play: Play) -> None:
    found = play("magpie", None, MAGPIE, source={"blank": 60})
    rows = found.rows["magpie.jsonl"]
    instructions = [row["messages"][0]["content"] for row in rows]
    assert len(set(instructions)) == len(instructions) > 5
    assert sum(text.startswith("Say the same") for text in instructions) == 1, "duplicates are dropped"
    assert all(row["quality"] == "excellent" and "images" not in row for row in rows)
    assert all(row["messages"][1]["content"] == f"reply to {row['messages'][0]['content']}" for row in rows)
    reasons = Counter(step for step, _ in found.dropped.values())
    assert set(reasons) == {"good", "deduplicate"}
    assert any("instruction[-1:]" in reason for _, reason in found.dropped.values()), (
        "what ends with a colon is cut off"
    )


def test_magpie_takes_no_input(play: Play, tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("a\n")
    with pytest.raises(RecipeError, match="takes no input"):
        play("magpie", tmp_path / "rows.txt", MAGPIE)


def test_records_of_magpie_have_seeds_of_their_own_and_stay(play: Play) -> None:
    few = play("magpie", None, MAGPIE, source={"blank": 10})
    kept = {row["id"]: row for row in few.rows["magpie.jsonl"]}
    again = play("magpie", None, MAGPIE, source={"blank": 20})
    assert {row["id"]: row for row in again.rows["magpie.jsonl"] if int(row["id"]) < 10} == kept


def test_turns_go_on(play: Play) -> None:
    found = play("magpie_turns", None, MAGPIE, source={"blank": 20}, **{"steps.begin.attempts": 20})
    rows = found.rows["magpie_turns.jsonl"]
    assert len(rows) == 20
    for row in rows:
        said = [message["content"] for message in row["messages"]]
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"] * 2
        assert said[2] == f"And then, after {said[1]}?"
        assert said[3] == f"reply to {said[2]}"


MMEVOL = """
kind = "format" if "in another form" in text else "reasoning" if "takes more steps" in text else "breadth"
if "[[" in text:
    return "[[3]]" if "dull" in text.rsplit("Instruction:", 1)[1] else "[[8]]"
if "an improvement on the old one" in text:
    return "No." if "never" in text.rsplit("New instruction:", 1)[1] else "Yes."
start = text.split("Instruction:\\n", 1)[1].split("\\n")[0]
return f"<instruction>{start} +{kind}</instruction>\\n<response>to {start} +{kind}</response>"
"""


def test_pairs_evolve_and_what_did_not_improve_is_eliminated(play: Play, pictures: Pictures) -> None:
    images = pictures("red")
    rows = [
        {"id": str(n), "images": images, "instruction": f"q{n}", "response": "r", "caption": "CAP"} for n in range(60)
    ]
    rows += [{"id": "never", "images": images, "instruction": "never", "response": "r"}]
    rows += [{"id": "dull", "images": images, "instruction": "dull", "response": "r", "objects": ["a cup left"]}]
    found = play("mmevol", rows, MMEVOL)
    written = {row["id"]: row for row in found.rows["mmevol.jsonl"]}
    assert set(written) == {str(n) for n in range(60)}
    assert set(found.dropped) == {"never", "dull"}
    kinds = Counter(kind for row in written.values() for kind in row["evolutions"])
    assert sum(kinds.values()) == 180
    assert 70 < kinds["breadth"] < 110
    assert 25 < kinds["format"] < 65
    row = written["7"]
    assert row["messages"][0]["content"] == "<image>q7 " + " ".join(f"+{kind}" for kind in row["evolutions"])
    assert row["seed_instruction"] == "q7"
    assert found.asked("What the image shows: CAP")
    assert found.asked("What stands where: ['a cup left']")
    assert not any("What the image shows:" in prompt for prompt in found.asked("never") if "Write a new pair" in prompt)


def test_a_tag_that_is_missing_is_asked_for_again(play: Play, pictures: Pictures) -> None:
    reply = 'if "Write a new pair" in text and request.seed % 2: return "<instruction>cut"\n'
    rows = [{"id": "x", "images": pictures("red"), "instruction": "q", "response": "r"}]
    found = play("mmevol", rows, reply + MMEVOL, **{"steps.evolve.attempts": 20, "steps.round.times": 1})
    assert [row["id"] for row in found.rows["mmevol.jsonl"]] == ["x"]


def test_experts_give_hints_where_there_are_any(play: Play, pictures: Pictures) -> None:
    images = pictures("red")
    rows = [
        {
            "id": "all",
            "images": images,
            "tags": ["cat", "sofa"],
            "ocr": "STOP",
            "objects": "a cat at the left",
            "knowledge": "x",
        },
        {"id": "none", "images": images},
        {"id": "some", "images": images, "tags": [], "ocr": ["A", "B"]},
        {"id": "told", "images": images, "tags": "told"},
    ]
    found = play("densefusion", rows, "return 'As the hints say, told.' if 'told' in text else 'A cat.'")
    assert [row["id"] for row in found.rows["densefusion.jsonl"]] == ["all", "none", "some"]
    (prompt,) = found.asked("STOP")
    assert "Things that may be there: cat; sofa" in prompt
    assert "What may stand where: a cat at the left" in prompt
    (prompt,) = found.asked("Text that may be read: A; B")
    assert "Things that may be there" not in prompt
    assert sum("Programs have looked" not in "".join(text for _, text in call) for call in found.calls) == 1
    assert found.dropped["told"][0] == "no_talk_of_hints"
