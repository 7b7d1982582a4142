"""Runs that end at a number of accepted records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mminf
from mminf import api
from mminf.backend.scripted import ScriptedBackend
from mminf.request import Generation, Request

from .models import SHAPE, Recipe, calls, run


@pytest.mark.parametrize("limit", [None, 1])
def test_a_target_stops_the_run_and_takes_the_first_in_source_order(
    write_recipe: Recipe, rows: Recipe, models: str, calls_log: Path, tmp_path: Path, limit: int | None
) -> None:
    rows(*({"id": f"{n:05}", "n": n} for n in range(4000)))
    recipe = write_recipe(models + SHAPE.replace("THIRD", "c"))
    run(recipe, tmp_path / "all")
    everything = len(calls(calls_log))
    wanted = (tmp_path / "all" / "out.jsonl").read_text().splitlines()[:50]
    last = json.loads(wanted[-1])["id"]
    for window in (1, 7, 300):
        calls_log.write_text("")
        out = tmp_path / f"target-{window}"
        run(recipe, out, target=50, window=window, max_loaded_engines=limit)
        assert (out / "out.jsonl").read_text().splitlines() == wanted
        dropped = (tmp_path / "all" / "dropped.jsonl").read_text().splitlines()
        assert (out / "dropped.jsonl").read_text().splitlines() == [
            line for line in dropped if json.loads(line)["id"] < last
        ]
        assert len(calls(calls_log)) < everything / 3
        calls_log.write_text("")
        run(recipe, out, target=50, window=window, max_loaded_engines=limit)
        assert not calls(calls_log), "what is finished is not asked again"
        assert (out / "out.jsonl").read_text().splitlines() == wanted


@pytest.mark.parametrize("window", [None, 30])
def test_the_last_records_of_a_run_are_under_way_at_once(
    write_recipe: Recipe, rows: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: int | None
) -> None:
    rows(*({"id": f"{n:05}", "n": n} for n in range(700)))
    under_way: set[str] = set()
    most = {"first": 0, "last": 0}
    begun = 0
    generate = ScriptedBackend.generate

    async def count(self: ScriptedBackend, request: Request) -> Generation:
        nonlocal begun
        name = request.turns[-1].text.split()[-1]
        begun += name not in under_way
        under_way.add(name)
        part = "first" if begun < 400 else "last"
        most[part] = max(most[part], len(under_way))
        answer = await generate(self, request)
        if "twice" in request.turns[-1].text:
            under_way.remove(name)
        return answer

    monkeypatch.setattr(ScriptedBackend, "generate", count)
    recipe = write_recipe("""
    engines: {a: {backend: scripted, answer: "yes", latency: 0.002, max_concurrency: 64}}
    source: {jsonl: {path: rows.jsonl}}
    steps:
      - generate: {name: one, engine: a, writes: one, prompt: "once {{ n }}"}
      - generate: {name: two, engine: a, writes: two, prompt: "twice {{ one }} {{ n }}"}
    """)
    run(recipe, tmp_path / "out", **({} if window is None else {"window": window}))
    assert begun == 700
    assert most["first"] <= (window or 80)
    assert window - 5 <= most["last"] <= window if window else most["last"] > 160


def test_a_target_that_is_never_reached_takes_all(
    write_recipe: Recipe, rows: Recipe, models: str, tmp_path: Path
) -> None:
    rows(*({"id": f"{n:05}", "n": n} for n in range(100)))
    recipe = write_recipe(models + SHAPE.replace("THIRD", "c"))
    run(recipe, tmp_path / "all")
    run(recipe, tmp_path / "target", target=1000, max_loaded_engines=1)
    assert (tmp_path / "target" / "out.jsonl").read_bytes() == (tmp_path / "all" / "out.jsonl").read_bytes()


def test_counts_end_at_the_target(
    write_recipe: Recipe, rows: Recipe, models: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "mminf")
    rows(*({"id": f"{n:05}", "n": n} for n in range(2000)))
    recipe = write_recipe(models + SHAPE.replace("THIRD", "c"))
    found = []
    for window in (1, 300):
        result = mminf.run(recipe, output=tmp_path / str(window), overrides={"target": 50, "window": window})
        found.append(result.counts)
        status = api.status(tmp_path / str(window))
        assert (status["done"], status["pending"]) == (50, 0)
    assert found[0] == found[1]
    assert "the target of 50 is reached; 0 records beyond it" in caplog.text  # one record at a time
    mminf.run(recipe, output=tmp_path / "all", overrides={"target": 5000})
    assert "fewer than the target of 5000 were accepted" in caplog.text
