"""`repeat`: steps in rounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mminf import api
from mminf.errors import RecipeError

from .runs import Run, calls


def test_rounds_end_when_they_are_told_to(go: Run, calls_log: Path) -> None:
    steps = """
    - set: {n: "0"}
    - repeat:
        name: grow
        times: 4
        until: n >= wanted
        steps:
          - generate: {name: more, engine: a, prompt: "{{ id_text }} {{ n }}", writes: text}
          - set: {name: count, fields: {n: n + 1}}
    """
    found = go(steps, *({"id": name, "id_text": name, "wanted": int(name[1:])} for name in ("a1", "b2", "c9")))
    assert {name: row["n"] for name, row in found["rows"].items()} == {"a1": 1, "b2": 2, "c9": 4}
    assert calls(calls_log) == ["a1 0", "b2 0", "b2 1", "c9 0", "c9 1", "c9 2", "c9 3"]
    assert found["rows"]["c9"]["text"] == "<c9 3>"


def test_a_round_that_makes_its_own_end_true_still_ends_with_its_last_step(go: Run) -> None:
    steps = """
    - set: {n: "0", log: "''"}
    - repeat:
        times: 3
        until: n == 2
        steps:
          - set: {name: first, fields: {n: n + 1}}
          - set: {name: second, fields: {log: "log ~ n"}}
    """
    assert go(steps, {"id": "x"})["rows"]["x"]["log"] == "12"


def test_a_score_is_called_the_same_in_every_round(go: Run, calls_log: Path) -> None:
    reply = 'return "[[2]]" if text == "rate x+1" else "[[9]]"'
    steps = """
    - repeat:
        times: 3
        until: rating >= 8
        steps:
          - set: {name: grow, fields: {t: t ~ '+1'}}
          - score: {name: rating, engine: a, prompt: "rate {{ t }}", scale: [1, 10]}
          - check: {name: sure, engine: a, prompt: "sure {{ t }}", when: "false"}
    """
    row = go(steps, {"id": "x", "t": "x"}, reply=reply)["rows"]["x"]
    assert (row["t"], row["rating"]) == ("x+1+1", 9)
    assert not any("." in name for name in row)


def test_two_repeats_need_names(go: Run) -> None:
    with pytest.raises(RecipeError, match="duplicate name of a repeat, 'repeat'; give this repeat another `name`"):
        go("- repeat: {times: 2, until: n > 1, steps: [set: {n: n + 1}]}\n" * 2, {"id": "x", "n": 0})


def test_steps_of_a_round_are_named_placed_and_changed_like_others(go: Run, write_recipe: Any) -> None:
    path = write_recipe("""
name: r
engines: {a: {backend: scripted, answer: x}}
steps:
  - repeat:
      times: 2
      steps:
        - keep: n > 0
        - generate: {engine: a, prompt: "{{ n }}", writes: t}
""")
    recipe = api.load(path, settings=["steps.generate.prompt=again {{ n }}", "steps.repeat.times=3"])
    assert [step.name for step in recipe.steps] == [
        "keep", "generate", "keep.2", "generate.2", "keep.3", "generate.3",
    ]  # fmt: skip
    assert {step.template.source for step in recipe.steps if step.type == "generate"} == {"again {{ n }}"}
    recipe = api.load(path, settings=["steps.keep=false"])
    assert [step.name for step in recipe.steps] == ["generate", "generate.2"]
    path.write_text(path.read_text().replace("writes: t", "wirtes: t").replace("times: 2", "times: 2000"))
    with pytest.raises(RecipeError) as caught:
        api.load(path)
    assert "recipe.yaml:6: step 'repeat': times" in str(caught.value)
    path.write_text(path.read_text().replace("times: 2000", "times: 2"))
    with pytest.raises(RecipeError, match=r"recipe.yaml:9: step 'generate': unknown key 'wirtes'"):
        api.load(path)
    path.write_text(path.read_text().replace("- keep: n > 0", "- repeat: {times: 2, steps: [{keep: n > 0}]}"))
    with pytest.raises(RecipeError, match="can't contain another repeat"):
        api.load(path)
