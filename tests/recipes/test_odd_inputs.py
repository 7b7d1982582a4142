"""Defects of released code (MM-INF) that have no test of their own elsewhere: what rows look like, in and out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from mminf_plugins.oasis.classify import parse_instruction

import mminf
from mminf.recipe.dataflow import input_fields

from ..conftest import ROOT
from .conftest import Play
from .test_oasis_extras import OASIS

Pictures = Callable[..., list[str]]


@pytest.mark.parametrize("text", ["In the image, is it red?", "Is it red?", "nstruct the cat.", "struction: what?"])
def test_no_letter_of_an_instruction_is_stripped_with_its_label(text: str) -> None:
    assert parse_instruction(f"Instruction:{text}") == text
    assert parse_instruction(f"Answer:\n**Instruction:** {text}") == text
    assert parse_instruction(f"  Instruction: {text}") == text


def test_an_image_may_be_a_text_or_a_list_and_there_may_be_several(play: Play, pictures: Pictures) -> None:
    pictures("a", "b")
    rows = [
        {"id": "one", "image": "a.png"},
        {"id": "list", "images": ["a.png"]},
        {"id": "two", "images": ["a.png", "b.png"]},
    ]
    found = play("oasis", rows, OASIS)
    images = {row["id"]: [Path(uri).name for uri in row["images"]] for row in found.rows["oasis.jsonl"]}
    assert images == {"one": ["a.png"], "list": ["a.png"], "two": ["a.png", "b.png"]}
    users = {row["id"]: row["messages"][0]["content"] for row in found.rows["oasis.jsonl"]}
    assert users["two"].startswith("<image><image>What")


def test_rows_may_have_any_field_of_their_own(play: Play, pictures: Pictures) -> None:
    own = {"history": [["q", "a"]], "user_data": 1, "query_items": [], "messages": None, "response": "old"}
    found = play("oasis", [{"id": "x", "images": pictures("a"), **own}], OASIS)
    assert [row["id"] for row in found.rows["oasis.jsonl"]] == ["x"]


def test_blank_lines_are_no_rows_and_ids_come_from_content(play: Play, pictures: Pictures, tmp_path: Path) -> None:
    pictures("a", "b")
    lines = ['{"images": ["a.png"]}', "", '{"images": ["b.png"]}', "   "]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    ids = {
        Path(row["images"][0]).name: row["id"]
        for row in play("oasis", tmp_path / "in.jsonl", OASIS).rows["oasis.jsonl"]
    }
    (tmp_path / "in.jsonl").write_text("\n".join(reversed(lines)))
    again = play("oasis", tmp_path / "in.jsonl", OASIS)
    assert {Path(row["images"][0]).name: row["id"] for row in again.rows["oasis.jsonl"]} == ids
    assert not again.calls, "rows that were moved are not asked about again"


def test_text_of_all_languages_is_written_as_it_is(play: Play, pictures: Pictures) -> None:
    found = play("caption", [{"id": "x", "images": pictures("a")}], "return '一只红色的猫 🐈'", profile="zh")
    raw = (found.output / "captions.jsonl").read_bytes()
    assert "一只红色的猫 🐈".encode() in raw
    assert json.loads(raw)["messages"][1]["content"] == "一只红色的猫 🐈"


TEXTS = {
    "allava_text": ["instruction"],
    "allava_vflan": ["instruction"],
    "detailed_instruction": ["description"],
    "mammoth_vl": ["instruction", "answer"],
    "match_score": ["instruction", "response"],
    "preference": ["instruction"],
    "prompt_evolve": ["instruction"],
    "thinking": ["instruction", "answer"],
    "unicorn": ["seed"],
    "verifiable_gold": ["instruction", "solution"],
}
OTHERS = {"mmevol": ["qa"]}  # a list of questions and answers: test_mmevol.py has empty ones


def test_all_recipes_that_read_texts_are_known() -> None:
    found = {}
    for path in sorted((ROOT / "recipes").glob("*.yaml")):
        recipe = mminf.load(path)
        if recipe.source is not None and (texts := set(input_fields(recipe.steps)) - {"images"}):
            found[path.stem] = texts
    assert found == {name: set(texts) for name, texts in (TEXTS | OTHERS).items()}


@pytest.mark.parametrize("recipe", TEXTS)
@pytest.mark.parametrize("cell", ["", " \n\t", None], ids=["empty", "blank", "null"])
def test_no_model_is_asked_about_a_row_with_an_empty_cell(
    recipe: str, cell: str | None, play: Play, pictures: Pictures
) -> None:
    """It would make up what the row lacks."""
    whole = dict.fromkeys(TEXTS[recipe], "What is red? A cup.")
    rows = [{"id": name, "images": pictures(name), **whole, name: cell} for name in whole]
    found = play(recipe, rows, "return 'A cup is red.'")
    assert not found.calls
    assert not any(rows for rows in found.rows.values() if isinstance(rows, list))
    assert found.failed.keys() | found.dropped.keys() == set(whole), "each row has a reason"
