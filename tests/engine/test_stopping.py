"""What stops a run before its end: a budget that is used up, and a step that fails whatever comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mminf
from mminf import api
from mminf.engine.budget import Budget
from mminf.engine.first_failures import FirstFailures
from mminf.errors import EngineError
from mminf.journal import Totals
from mminf.recipe.config import BudgetConfig, PriceConfig
from mminf.request import Generation
from mminf.shard import Shard

from ..backend.mock import answer, serve
from ..conftest import read_rows, tiny_image

Recipe = Callable[..., Path]
SCRIPT = """
import os
def answer(request):
    text = request.turns[0].text
    if int(text.split()[0]) < int(os.environ.get("BROKEN", "0")):
        raise ValueError(f"can't do {text!r}, try {text.split()[0]}")
    return "answer to " + text
"""


@pytest.fixture
def recipe(write_recipe: Recipe, rows: Recipe, tmp_path: Path) -> Path:
    (tmp_path / "s.py").write_text(SCRIPT)
    rows(*({"id": str(n), "n": n} for n in range(60)))
    return write_recipe(
        f"""
engines: {{a: {{backend: scripted, script: {tmp_path}/s.py, price: {{input: 1000, output: 2000}}}}}}
source: {{jsonl: rows.jsonl}}
steps:
  - generate: {{engine: a, prompt: "{{{{ n }}}} first", writes: first, name: first, attempts: 1}}
  - generate: {{engine: a, prompt: "{{{{ n }}}} {{{{ first }}}}", name: second}}
sinks: [{{jsonl: out.jsonl}}]
"""
    )


def run(recipe: Path, output: Path, *settings: str, **options: Any) -> Any:
    return api.run(recipe, output=output, settings=list(settings), **options)


@pytest.mark.parametrize("limits", [("calls", (50, 90, 1000)), ("tokens", (100, 700, 10**6)), ("money", (0.2, 1, 99))])
def test_a_budget_stops_a_run_and_a_larger_one_goes_on(
    recipe: Path, tmp_path: Path, limits: tuple[str, Sequence[float]], calls_log: Path
) -> None:
    name, values = limits
    expected = run(recipe, tmp_path / "whole").counts
    calls = []
    for value in values:
        result = run(recipe, tmp_path / "out", f"budget={{{name}: {value}}}", "window=4")
        calls.append(result.calls)
        if value != values[-1]:
            assert (result.state, result.exit_code) == ("interrupted", 3)
            assert result.stopped == f"the budget of {value:,} {name} is used up"
            assert result.written == []
        if name == "calls":
            assert result.calls <= value
    assert result.state == "finished"
    assert result.stopped is None
    assert calls == sorted(calls) and len(set(calls)) == 3 and calls[-1] == 120, "no call was made twice"
    assert result.counts == expected
    assert (tmp_path / "out" / "out.jsonl").read_bytes() == (tmp_path / "whole" / "out.jsonl").read_bytes()


def test_a_used_up_budget_does_not_start_again_with_the_next_run(recipe: Path, tmp_path: Path) -> None:
    for _ in range(3):
        result = run(recipe, tmp_path / "out", "budget={calls: 50}")
        assert (result.state, result.calls) == ("interrupted", 50)


def test_shards_share_a_budget(recipe: Path, tmp_path: Path) -> None:
    calls = [run(recipe, tmp_path / "out", "budget={calls: 60}", shard=f"{n}/3").calls for n in range(3)]
    assert calls == [20, 20, 20]


def test_datasets_of_a_stopped_run_can_be_exported(recipe: Path, tmp_path: Path) -> None:
    settings = ["budget={calls: 50}", "window=4"]
    run(recipe, tmp_path / "out", *settings)
    written = api.export(mminf.load(recipe, settings=settings), tmp_path / "out")
    assert written[0].rows == len(read_rows(tmp_path / "out" / "out.jsonl")) > 10


@given(st.integers(1, 50), st.integers(0, 60), st.lists(st.lists(st.booleans(), max_size=60), min_size=1, max_size=5))
def test_never_more_calls_than_the_budget(limit: int, before: int, answered: list[list[bool]]) -> None:
    totals = {"s": Totals(before, 1, 1, 0.0)}
    done = before
    for number, calls in enumerate(answered):
        shard = Shard(number, len(answered)) if len(answered) > 1 else None
        budget = Budget(BudgetConfig(calls=limit), {}, {}, shard=shard, before=totals, own={})
        for ok in calls:
            if budget.begin() is None:
                budget.end("e", Generation("x", "stop", 1, 1) if ok else None)
                done += ok
    assert done <= max(before, limit)


def test_a_budget_that_can_not_be_counted_says_so(caplog: pytest.LogCaptureFixture) -> None:
    budget = Budget(BudgetConfig(tokens=10), {}, {}, before={}, own={})
    for _ in range(3):
        assert budget.begin() is None
        budget.end("a", Generation("x", "stop", 0, 0))
    assert caplog.text.count("engine 'a' reports no token counts") == 1


def test_money_is_counted_by_each_engines_price() -> None:
    prices = {"big": PriceConfig(input=2, output=10)}
    before = {"s": Totals(1, 500_000, 100_000, 1.0)}
    budget = Budget(BudgetConfig(money=2.5), prices, {"s": "big"}, before={}, own=before)
    assert budget.begin() is None, "2.0 of 2.5"
    budget.end("free", Generation("x", "stop", 10**9, 10**9))
    assert budget.begin() is None
    budget.end("big", Generation("x", "stop", 0, 50_000))
    assert budget.begin() == "the budget of 2.5 money is used up"


# Failures


def test_a_step_that_fails_the_first_records_in_the_same_way_stops_the_run(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKEN", "60")
    with pytest.raises(EngineError, match=r"step 'first' failed the first 20 records in the same way.*can't do"):
        run(recipe, tmp_path / "out", "window=1")
    status = api.status(tmp_path / "out")
    assert (status["state"], status["failed"]) == ("failed", 19)
    monkeypatch.setenv("BROKEN", "0")
    assert run(recipe, tmp_path / "out").counts.done == 60, "what failed is tried again"


def test_a_step_that_works_fails_as_many_records_as_it_likes(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKEN", "19")
    assert run(recipe, tmp_path / "out", "window=1").counts.failed == 19
    monkeypatch.setenv("BROKEN", "59")
    assert run(recipe, tmp_path / "out", "window=1").counts.failed == 19, "they come first, and have come before"
    assert run(recipe, tmp_path / "never", "window=1", "max_same_failures=null").counts.failed == 59
    with pytest.raises(EngineError, match="failed the first 5 records"):
        run(recipe, tmp_path / "five", "window=1", "max_same_failures=5")


def test_reasons_are_the_same_but_for_what_is_the_records_own() -> None:
    def fail(watched: FirstFailures, step: str, reason: str) -> str | None:
        return watched.failed(step, watched.begin(step), reason)

    watched = FirstFailures(["s", "t"], 3)
    assert fail(watched, "s", "image '/a/1.png' does not exist") is None
    assert fail(watched, "s", "image '/a/b c.png' does not exist") is None
    assert fail(watched, "t", "image '/a/b c.png' does not exist") is None
    assert "failed the first 3 records" in (fail(watched, "s", 'image "x" does not exist') or "")
    watched = FirstFailures(["s"], 3)
    cats, dogs, cows = (
        f"answered 400: this prompt about {what} is not allowed here" for what in ("cats", "dogs", "cows")
    )
    assert fail(watched, "s", cats) is fail(watched, "s", dogs) is None
    assert fail(watched, "s", cows) is not None
    watched = FirstFailures(["s"], 3)
    assert fail(watched, "s", "took 3.2s") is fail(watched, "s", "took 4ms") is None
    assert fail(watched, "s", "out of memory") is None, "another way: not how it is set up"
    assert all(fail(watched, "s", "out of memory") is None for _ in range(9))
    watched = FirstFailures(["s"], 1)
    watched.passed("s")
    assert fail(watched, "s", "x") is fail(watched, "unknown", "x") is None


def test_the_first_to_begin_count_and_not_the_first_to_fail() -> None:
    watched = FirstFailures(["s"], 3)
    slow = [watched.begin("s") for _ in range(3)]
    assert all(watched.failed("s", watched.begin("s"), "no image") is None for _ in range(50))
    assert watched.failed("s", slow[0], "no image") is watched.failed("s", slow[1], "no image") is None
    watched.passed("s")
    assert watched.failed("s", slow[2], "no image") is None
    watched = FirstFailures(["s"], 2)
    first, second, third = (watched.begin("s") for _ in range(3))
    watched.left_out("s", first)
    assert watched.failed("s", third, "x") is None
    assert watched.failed("s", second, "x") is not None


def test_records_that_fail_at_once_do_not_stop_a_run_whose_calls_take_long(
    write_recipe: Recipe, rows: Recipe, tmp_path: Path
) -> None:
    tiny_image(tmp_path / "x.png")
    rows(*({"id": str(n), "images": ["x.png" if n % 3 else f"missing{n}.png"]} for n in range(120)))
    recipe = write_recipe(
        """
engines: {a: {backend: scripted, answer: hi, latency: 0.3}}
source: {jsonl: rows.jsonl}
steps: [generate: {engine: a, prompt: "{{ images }} what?"}]
sinks: [{jsonl: out.jsonl}]
"""
    )
    counts = run(recipe, tmp_path / "out").counts
    assert (counts.done, counts.failed) == (80, 40)


def test_records_that_pass_by_do_not_hide_that_a_step_fails(
    write_recipe: Recipe, rows: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s.py").write_text(SCRIPT)
    rows(*({"id": str(n), "n": n} for n in range(60)))
    recipe = write_recipe(
        f"""
engines: {{a: {{backend: scripted, script: {tmp_path}/s.py}}}}
source: {{jsonl: rows.jsonl}}
steps: [generate: {{engine: a, prompt: "{{{{ n }}}}", when: n % 2 == 0}}]
sinks: [{{jsonl: out.jsonl}}]
"""
    )
    monkeypatch.setenv("BROKEN", "60")
    with pytest.raises(EngineError, match="failed the first 20 records"):
        run(recipe, tmp_path / "out")


def test_a_server_that_refuses_the_key_stops_the_run_with_little_lost(write_recipe: Recipe, rows: Recipe) -> None:
    import asyncio
    import threading

    from aiohttp import web

    rows(*({"id": str(n), "n": n} for n in range(300)))
    replies: dict[str, Any] = {"status": 401}
    started, stop = threading.Event(), threading.Event()
    found: dict[str, Any] = {}

    def reply(body: dict[str, Any], n: int) -> web.Response:
        if replies["status"] == 200:
            return answer("fine")
        return web.json_response({"error": {"message": "Incorrect API key provided"}}, status=replies["status"])

    async def host() -> None:
        async with serve(reply) as mock:
            found["mock"] = mock
            started.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(host()), daemon=True)
    thread.start()
    started.wait(10)
    mock = found["mock"]
    recipe = write_recipe(
        f"""
engines: {{a: {{backend: openai, model: m, base_url: "{mock.url}", max_concurrency: 4}}}}
source: {{jsonl: rows.jsonl}}
steps: [generate: {{engine: a, prompt: "{{{{ n }}}}"}}]
sinks: [{{jsonl: out.jsonl}}]
"""
    )
    output = recipe.parent / "out"
    try:
        with pytest.raises(EngineError, match="Incorrect API key provided; set the .* OPENAI_API_KEY to the key"):
            run(recipe, output)
        assert len(mock.calls) < 20
        replies["status"] = 200
        assert run(recipe, output).counts.done == 300
    finally:
        stop.set()
        thread.join(10)
