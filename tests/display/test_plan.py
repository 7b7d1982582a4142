"""`mminf plan` and `mminf status` for a recipe with many rounds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mminf
from mminf import api
from mminf.cli.main import app

RECIPE = """
engines: {s: {backend: scripted, answer: hi}}
source: {jsonl: rows.jsonl}
steps:
  - set: {n: "0"}
  - repeat:
      times: ROUNDS
      until: n >= 2
      steps:
        - generate: {name: ask, engine: s, prompt: 'Number {{ n }}', writes: said}
        - set: {name: count, fields: {n: n + 1}}
  - keep: {expression: n > 0}
sinks: [{jsonl: o.jsonl}]
"""


def described(write_recipe: Callable[[str], Path], rounds: int) -> str:
    return api.describe_plan(mminf.load(write_recipe(RECIPE.replace("ROUNDS", str(rounds)))))


def test_later_rounds_are_like_the_second(write_recipe: Callable[[str], Path]) -> None:
    plan = described(write_recipe, 9)
    assert "  ask (generate, s)\n" in plan
    assert "  ask.2 (generate, s), the same up to ask.9\n" in plan
    assert "  ask.3" not in plan
    assert "engine s: scripted (scripted), for ask\n" in plan
    (keep,) = [line for line in plan.split("  keep (keep)")[1].splitlines() if "waits for" in line]
    assert keep == "    waits for set, count.9"


@pytest.mark.parametrize("rounds", [1, 2])
def test_one_or_two_rounds_are_shown(write_recipe: Callable[[str], Path], rounds: int) -> None:
    plan = described(write_recipe, rounds)
    assert ("  ask.2 (generate, s)\n" in plan) is (rounds == 2)
    assert "the same up to" not in plan


def test_models_of_unknown_size_are_not_said_to_fit(
    write_recipe: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = """
engines: {a: {backend: scripted, answer: hi}, b: {backend: scripted, answer: ho}}
source: {jsonl: rows.jsonl}
steps:
  - generate: {name: one, engine: a, prompt: One., writes: x}
  - generate: {name: two, engine: b, prompt: Two., writes: y}
"""
    unknown = "each at its first call; all stay loaded if they fit into memory (unknown here)"
    assert unknown in api.describe_plan(mminf.load(write_recipe(recipe)))
    monkeypatch.setattr("mminf.backend.scripted.ScriptedBackend.memory", lambda _: {"cpu": 0.2}, raising=False)
    assert "all stay loaded\n" in api.describe_plan(mminf.load(write_recipe(recipe)))


def test_rounds_in_which_nothing_happened_are_left_out(
    write_recipe: Callable[[str], Path], rows: Callable[..., Path], tmp_path: Path
) -> None:
    rows({"id": "a"})
    mminf.run(write_recipe(RECIPE.replace("ROUNDS", "9")), output=tmp_path / "out")
    shown = CliRunner().invoke(app, ["status", str(tmp_path / "out")]).output
    rows = [line.split() for line in shown.splitlines()]
    assert ["ask", "1", "2", "1", "0", "0"] in rows
    assert ["ask.2", "1", "2", "1", "0", "0"] in rows
    assert "ask.3" not in shown
    assert ["keep", "0", "0"] in rows, "steps outside of rounds are always shown"
