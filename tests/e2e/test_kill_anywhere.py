"""A run that is killed at any moment, again and again, ends with the bytes of one that was not."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import mminf
from mminf import api

from ..fuzz import TIMES
from ..kills import in_child

RECIPES = {
    "children and a dataset step": """
  - generate: {engine: a, prompt: "{{ q }}"}
  - split: {reads: parts, writes: part}
  - keep: part != "x7"
  - deduplicate: {reads: q}
  - generate: {name: more, engine: a, prompt: "{{ part }}", writes: more}
""",
    "models that do not fit": """
  - generate: {engine: a, prompt: "{{ q }}"}
  - generate: {name: second, engine: b, prompt: "{{ response }} {{ q }}", writes: second}
  - keep: n % 3 != 1
  - generate: {name: third, engine: a, prompt: "{{ second }}", writes: third}
""",
}
HEAD = """
name: kills
max_loaded_engines: 1
engines: {a: {backend: scripted, model: a, answer: hi}, b: {backend: scripted, model: b, answer: ho}}
source: {jsonl: rows.jsonl}
sinks: [{jsonl: o.jsonl}, {parquet: p.parquet}, {jsonl: {path: dropped.jsonl, dropped_by: keep}}]
steps:"""
NAMES = ("o.jsonl", "p.parquet", "dropped.jsonl")


@pytest.fixture(params=RECIPES)
def recipe(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    rows = [f'{{"id": "{n}", "n": {n}, "q": "question {n % 30}", "parts": ["x{n}", "y"]}}\n' for n in range(40)]
    (tmp_path / "rows.jsonl").write_text("".join(rows))
    (tmp_path / "recipe.yaml").write_text(HEAD + RECIPES[request.param])
    return tmp_path / "recipe.yaml"


def check(recipe: Path, output: Path, expected: dict[str, bytes], work: Callable[[], object], seed: str) -> int:
    """Kills work up to three times, lets it end, and compares the datasets. Returns the number of kills."""
    rng = random.Random(seed)
    calls = in_child(work)
    shutil.rmtree(output)
    killed = sum(in_child(work, rng.randint(1, calls)) == -1 for _ in range(rng.choice((1, 2, 3))))
    assert in_child(work) > 0
    assert {name: (output / name).read_bytes() for name in NAMES} == expected, seed
    return killed


def test_a_run_that_is_killed_anywhere(recipe: Path, tmp_path: Path) -> None:
    mminf.run(recipe, output=tmp_path / "whole")
    expected = {name: (tmp_path / "whole" / name).read_bytes() for name in NAMES}
    kills = 0
    for number in range(4 * TIMES):
        output = tmp_path / f"out{number}"
        kills += check(recipe, output, expected, lambda to=output: mminf.run(recipe, output=to), f"run {number}")
        shutil.rmtree(output)
    assert kills >= 3 * TIMES


def test_shards_that_are_killed_anywhere(recipe: Path, tmp_path: Path) -> None:
    mminf.run(recipe, output=tmp_path / "whole")
    expected = {name: (tmp_path / "whole" / name).read_bytes() for name in NAMES}
    rng, kills = random.Random("shards"), 0
    for number in range(2 * TIMES):
        output = tmp_path / f"out{number}"
        state = "waiting"
        while state == "waiting":
            for shard in ("0/2", "1/2"):
                calls = in_child(
                    lambda to=output, s=shard: api.run(recipe, output=tmp_path / f"{to.name}-dry", shard=s)
                )
                run = lambda to=output, s=shard: api.run(recipe, output=to, shard=s)  # noqa: E731
                kills += in_child(run, rng.randint(1, calls)) == -1
                run()
            state = api.merge(api.prepare(mminf.load(recipe), output=output)).state
        assert {name: (output / name).read_bytes() for name in NAMES} == expected
        shutil.rmtree(output)
        shutil.rmtree(tmp_path / f"{output.name}-dry")
    assert kills >= 2 * TIMES
