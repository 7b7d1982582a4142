"""Magpie."""

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
