"""Rows of the chat sinks for training with feedback: pairs of answers, and rows that end with the user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mminf
from mminf.errors import RecipeError

from ..conftest import read_rows, tiny_image

Rows = Callable[..., Path]


def convert(tmp_path: Path, rows: Rows, sink: str, *items: dict[str, Any], steps: str = "[]") -> tuple[Any, list[Any]]:
    """Writes rows with one sink; returns the result and the dataset."""
    rows(*items)
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"name: r\nsource: {{jsonl: rows.jsonl}}\nsteps: {steps}\nsinks: [{sink}]\n")
    result = mminf.run(recipe, output=tmp_path / "out")
    return result.written[0], read_rows(tmp_path / "out" / "o.jsonl")


ROW = {"id": "a", "image": "a.png", "instruction": "What?", "response": "A cat.", "worse": "A dog."}
PAIR = "{swift: {path: o.jsonl, rejected: worse}}"


def test_a_worse_answer_is_the_rejected_response(tmp_path: Path, rows: Rows) -> None:
    tiny_image(tmp_path / "a.png")
    _, (row,) = convert(tmp_path, rows, PAIR, ROW)
    assert [turn["content"] for turn in row["messages"]] == ["<image>What?", "A cat."]
    assert row["rejected_response"] == "A dog."


def test_tags_and_tokens_of_a_rejected_response_are_text(tmp_path: Path, rows: Rows) -> None:
    """ms-swift would replace them by images that the row does not have."""
    tiny_image(tmp_path / "a.png")
    _, (row,) = convert(tmp_path, rows, PAIR, {**ROW, "worse": "A <image> and <|im_end|> <video>."})
    assert row["rejected_response"] == "A < image> and < |im_end|> < video>."


@pytest.mark.parametrize(
    ("worse", "reason"),
    [
        ("A cat.", "the same text"),
        (" A cat.\n", "the same text"),
        ("", "is empty"),
        ("  ", "is empty"),
    ],
)
def test_a_pair_needs_two_different_answers(tmp_path: Path, rows: Rows, worse: Any, reason: str) -> None:
    tiny_image(tmp_path / "a.png")
    written, found = convert(tmp_path, rows, PAIR, {**ROW, "worse": worse})
    assert not found
    assert written.left_out == 1
    assert reason in (written.example or "")


def test_a_pair_is_also_made_of_a_conversation(tmp_path: Path, rows: Rows) -> None:
    turns = [("user", "What?"), ("assistant", "A cat."), ("user", "Sure?"), ("assistant", "Yes.")]
    chat = [{"role": role, "content": text} for role, text in turns]
    written, (row,) = convert(
        tmp_path,
        rows,
        PAIR,
        {"id": "a", "messages": chat, "worse": "No."},
        {"id": "b", "messages": chat, "worse": "Yes."},
    )
    assert row["messages"] == chat
    assert row["rejected_response"] == "No."
    assert written.left_out == 1


@pytest.mark.parametrize("sink", ["swift", "llava"])
def test_rows_can_end_with_the_user(tmp_path: Path, rows: Rows, sink: str) -> None:
    tiny_image(tmp_path / "a.png")
    chat = [{"role": "user", "content": "Old?"}, {"role": "assistant", "content": "Old."}]
    _, (row,) = convert(tmp_path, rows, f"{{{sink}: {{path: o.jsonl, assistant: null}}}}", {**ROW, "messages": chat})
    (turn,) = row.get("messages") or row["conversations"]
    assert turn.get("content", turn.get("value")).split() == (
        ["<image>", "What?"] if sink == "llava" else ["<image>What?"]
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("assistant: null, turns: t", "`turns` needs `assistant`"),
        ("assistant: null, rejected: worse", "`rejected` needs `assistant`"),
    ],
)
def test_settings_that_make_no_conversation(tmp_path: Path, rows: Rows, settings: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        convert(tmp_path, rows, f"{{swift: {{path: o.jsonl, {settings}}}}}", ROW)


@pytest.mark.parametrize("own", [{"instruction": "What?", "response": "A cat."}, {"messages": []}])
def test_the_field_of_a_rejected_response_must_exist(tmp_path: Path, rows: Rows, own: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="writes field 'worse'"):
        convert(tmp_path, rows, PAIR, {"id": "a", **own})
