"""A merge that is killed at any moment continues with the same command, and makes the same bytes."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

import mminf
from mminf import api
from mminf.engine import dataset
from mminf.errors import UsageError

from ..fuzz import TIMES
from ..kills import in_child

STEPS = """
  - generate: {engine: s, prompt: '{{ q }}'}
  - split: {reads: parts, writes: part}
  - keep: part != 'a7'
"""
RECIPES = {
    "dataset step": STEPS
    + "  - deduplicate: {reads: q}\n  - generate: {name: more, engine: s, prompt: '{{ part }}'}\n",
    "dataset step first": "\n  - deduplicate: {reads: q}\n" + STEPS,
    "one stage": STEPS,
    "target": STEPS,
    "target after a dataset step": "\n  - deduplicate: {reads: q}\n" + STEPS,
}


@pytest.fixture(params=RECIPES)
def recipe(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    rows = [f'{{"id": "{n}", "q": "question {n % 30}", "parts": ["a{n}", "b"]}}\n' for n in range(40)]
    (tmp_path / "rows.jsonl").write_text("".join(rows))
    path = tmp_path / "recipe.yaml"
    target = "target: 20\n" if "target" in request.param else ""
    path.write_text(
        f"name: kills\n{target}engines: {{s: {{backend: scripted, answer: hi}}}}\nsource: {{jsonl: rows.jsonl}}\n"
        f"steps:{RECIPES[request.param]}sinks: [{{jsonl: o.jsonl}}, {{parquet: p.parquet}}]\n"
    )
    return path


def shards(recipe: Path, output: Path) -> None:
    for index in range(3):
        api.run(recipe, output=output, shard=f"{index}/3")


def merge(recipe: Path, output: Path) -> str:
    return api.merge(api.prepare(mminf.load(recipe), output=output)).state


def test_a_killed_merge_continues(recipe: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    mminf.run(recipe, output=whole)
    expected = {name: (whole / name).read_bytes() for name in ("o.jsonl", "p.parquet")}
    rng = random.Random(recipe.read_text())
    kills = 0
    output, before = tmp_path / "out", tmp_path / "before"
    for _ in range(3 * TIMES):
        shutil.rmtree(output, ignore_errors=True)
        for _ in range(4):
            if "steps:\n  - deduplicate" in recipe.read_text() and not (output / "journal.sqlite").is_file():
                assert merge(recipe, output) == "waiting"
            shards(recipe, output)
            shutil.rmtree(before, ignore_errors=True)
            shutil.copytree(output, before)
            calls = in_child(lambda: merge(recipe, output))
            assert calls > 0
            shutil.rmtree(output)
            shutil.copytree(before, output)
            for _ in range(rng.choice((1, 1, 2, 3))):
                kills += in_child(lambda: merge(recipe, output), rng.randint(1, calls)) == -1
            if merge(recipe, output) == "finished":
                break
        assert {name: (output / name).read_bytes() for name in expected} == expected
    assert kills >= 3 * TIMES


@pytest.mark.parametrize("batches", [1, 2, 3, 4, 5, 6])
def test_a_merge_that_ended_within_steps_over_all_records_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    """It is the same run: the outcomes of batches that were written before are not those of a second time."""
    rows = "".join(f'{{"id": "{number}", "q": "question {number % 500}"}}\n' for number in range(600))
    (tmp_path / "rows.jsonl").write_text(rows)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "name: long\nsource: {jsonl: rows.jsonl}\nsteps:\n  - set: {n: '1'}\n  - deduplicate: {reads: q}\n"
        "  - limit: 400\nsinks: [{jsonl: o.jsonl}]\n"
    )
    mminf.run(recipe, output=tmp_path / "whole")
    shards(recipe, tmp_path / "out")
    real, taken = dataset._take, 0

    def take(*arguments: Any) -> Any:
        nonlocal taken
        taken += 1
        if taken > batches:
            raise UsageError("ended")
        return real(*arguments)

    monkeypatch.setattr(dataset, "_take", take)
    with pytest.raises(UsageError, match="ended"):
        merge(recipe, tmp_path / "out")
    monkeypatch.undo()
    assert merge(recipe, tmp_path / "out") == "finished"
    assert (tmp_path / "out" / "o.jsonl").read_bytes() == (tmp_path / "whole" / "o.jsonl").read_bytes()
    counts = mminf.status(tmp_path / "out")["reasons"]
    assert counts == mminf.status(tmp_path / "whole")["reasons"]
