"""Records that are dropped as soon as a condition is false."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..conftest import read_rows
from .models import SHAPE, Recipe, calls, outcomes, run, states


def test_a_false_part_of_a_keep_saves_the_calls_that_are_left(
    write_recipe: Recipe, rows: Recipe, models: str, calls_log: Path, tmp_path: Path
) -> None:
    rows(*({"id": str(n), "n": n} for n in range(100)))
    recipe = write_recipe(models + SHAPE.replace("THIRD", "a"))
    early = run(recipe, tmp_path / "early")
    few = set(calls(calls_log))
    calls_log.write_text("")
    late = run(recipe, tmp_path / "late", early_drop=False)
    every = set(calls(calls_log))
    assert few < every
    for made in (early, late):
        assert made.session.stats.steps["keep"].dropped > 20
    assert (tmp_path / "early" / "out.jsonl").read_bytes() == (tmp_path / "late" / "out.jsonl").read_bytes()
    dropped = read_rows(tmp_path / "early" / "dropped.jsonl")
    assert [row["id"] for row in dropped] == [row["id"] for row in read_rows(tmp_path / "late" / "dropped.jsonl")]
    # Scores come in the order that changes models least, three before one before two, and stop at the first low one.
    for row in dropped:
        seen = [row[name] for name in ("three", "one", "two") if name in row]
        assert all(score > 1 for score in seen[:-1]) and seen[-1] == 1, row  # type: ignore[operator]
    for row in read_rows(tmp_path / "late" / "dropped.jsonl"):
        assert {"one", "two", "three"} <= set(row)


def test_what_is_dropped_early_says_which_part_was_false(
    write_recipe: Recipe, rows: Recipe, models: str, tmp_path: Path
) -> None:
    rows({"id": "a", "x": 1, "y": 5}, {"id": "b", "x": 5, "y": 1}, {"id": "c", "x": 5, "y": 5}, {"id": "d", "x": 5})
    recipe = write_recipe(
        models
        + """
source: {jsonl: rows.jsonl}
steps:
  - generate: {name: g, engine: a, prompt: "hello {{ x }}", writes: z}
  - keep: x > 2 and y > 2 and z != ''
sinks: [{jsonl: out.jsonl}]
"""
    )
    made = run(recipe, tmp_path / "out")
    assert made.session.stats.steps["g"].calls == 2, "a and b are dropped before they are asked about"
    reasons = {row[1]: (row[3], row[5]) for row in outcomes(tmp_path / "out")}
    assert reasons["a"] == ("dropped", "x 1 <= 2")
    assert reasons["b"] == ("dropped", "y 1 <= 2")
    assert reasons["c"] == ("done", None)
    assert reasons["d"][0] == "failed" and "'y' is undefined" in str(reasons["d"][1])


def test_a_keep_with_a_condition_drops_only_where_it_applies(
    write_recipe: Recipe, rows: Recipe, models: str, tmp_path: Path
) -> None:
    rows({"id": "a", "x": 1, "strict": True}, {"id": "b", "x": 1, "strict": False})
    recipe = write_recipe(
        models
        + """
source: {jsonl: rows.jsonl}
steps:
  - generate: {name: g, engine: a, prompt: "hello {{ x }}", writes: z}
  - keep: {expression: x > 2 and z != '', when: strict}
sinks: [{jsonl: out.jsonl}]
"""
    )
    run(recipe, tmp_path / "out")
    assert {row[1]: row[3] for row in outcomes(tmp_path / "out")} == {"a": "dropped", "b": "done"}


@pytest.mark.parametrize("settings", [{}, {"early_drop": False}, {"max_loaded_engines": 1}])
def test_what_got_past_a_keep_is_not_tested_again_on_other_fields(
    write_recipe: Recipe, rows: Recipe, models: str, tmp_path: Path, settings: dict[str, object]
) -> None:
    rows({"id": "r", "s": 5, "text": "fine", "parts": ["x", "bad"]})
    recipe = write_recipe(
        models
        + """
source: {jsonl: rows.jsonl}
steps:
  - keep: s > 3 and text != 'bad'
  - set: {s: "1"}
  - split: {reads: parts, writes: text}
  - generate: {name: one, engine: a, prompt: "{{ text }}", writes: x}
  - generate: {name: two, engine: b, prompt: "{{ x }}", writes: y}
sinks: [{jsonl: out.jsonl}]
"""
    )
    run(recipe, tmp_path / "out", **settings)
    assert states(tmp_path / "out") == {"r": "expanded", "r/0": "done", "r/1": "done"}


def test_what_was_parked_is_resumed_and_keeps_its_fields(
    write_recipe: Recipe, rows: Recipe, models: str, calls_log: Path, tmp_path: Path
) -> None:
    rows(*({"id": str(n), "n": n, "odd": "a\ud800b", "other": "a\ud800b"} for n in range(30)))
    recipe = write_recipe(
        models
        + """
source: {jsonl: rows.jsonl}
steps:
  - generate: {name: one, engine: a, prompt: "{{ n }}", writes: x}
  - generate: {name: two, engine: b, prompt: "{{ x }} {{ odd == other }}", writes: y}
sinks: [{jsonl: out.jsonl}]
"""
    )
    run(recipe, tmp_path / "out", max_loaded_engines=1)
    once = calls(calls_log)
    again = run(recipe, tmp_path / "out", max_loaded_engines=1)
    assert (again.session.stats.resumed, calls(calls_log)) == (30, once)
    run(recipe, tmp_path / "beside")
    assert (tmp_path / "out" / "out.jsonl").read_bytes() == (tmp_path / "beside" / "out.jsonl").read_bytes()
