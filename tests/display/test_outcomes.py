"""What a run's journal says of its records, as plugins read it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import mminf

RECIPE = """
name: small
source: {jsonl: rows.jsonl}
steps:
  - keep: n > 1
  - deduplicate: {reads: text}
sinks: [jsonl: out.jsonl]
"""


@pytest.fixture
def output(write_recipe: Callable[..., Path], rows: Callable[..., Path], tmp_path: Path) -> Path:
    rows(
        {"id": "a", "n": 1, "text": "one"},
        {"id": "b", "n": 2, "text": "one"},
        {"id": "c", "n": 3, "text": "one"},
        {"id": "d", "n": "?", "text": "one"},
    )
    mminf.run(write_recipe(RECIPE), output=tmp_path / "out", settings=["limit=4"])
    return tmp_path / "out"


def test_outcomes_come_stage_by_stage_in_source_order(output: Path) -> None:
    found = [(item["stage"], item["id"], item["state"], item["step"]) for item in mminf.read_outcomes(output)]
    assert found == [
        (0, "a", "dropped", "keep"),
        (0, "b", "done", None),
        (0, "c", "done", None),
        (0, "d", "failed", "keep"),
        (1, "b", "done", None),
        (1, "c", "dropped", "deduplicate"),
    ]


def test_an_outcome_has_its_reason_and_fields(output: Path) -> None:
    first = next(mminf.read_outcomes(output))
    assert first["reason"] == "n 1 <= 1"
    assert first["fields"]["text"] == "one"


def test_the_recipe_is_that_of_the_run(output: Path) -> None:
    recipe = mminf.read_recipe(output)
    assert (recipe["name"], recipe["limit"]) == ("small", 4)
    assert [next(iter(step)) for step in recipe["steps"]] == ["keep", "deduplicate"]


def test_a_run_without_steps_has_outcomes(
    write_recipe: Callable[..., Path], rows: Callable[..., Path], tmp_path: Path
) -> None:
    rows({"id": "a", "n": 1})
    recipe = write_recipe("name: none\nsource: {jsonl: rows.jsonl}\nsteps: []\nsinks: [jsonl: out.jsonl]\n")
    mminf.run(recipe, output=tmp_path / "out")
    assert [(item["id"], item["state"]) for item in mminf.read_outcomes(tmp_path / "out")] == [("a", "done")]


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(mminf.JournalError, match="no run in"):
        next(mminf.read_outcomes(tmp_path / "nothing"))
    with pytest.raises(mminf.JournalError, match="no run in"):
        mminf.read_recipe(tmp_path / "nothing")
