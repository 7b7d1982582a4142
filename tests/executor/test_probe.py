"""Probes: which records they run, what a run finds of them, and what they say if records don't pass."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import mminf
from mminf import api
from mminf.display.estimate import estimate_text, rounded
from mminf.display.table import eta
from mminf.engine.probe import draw_positions
from mminf.errors import EngineError, OutputError
from mminf.source.rows import JsonLines
from mminf.states import RunState

from .probing import RECIPE, made, probe


def numbers(calls: list[str]) -> set[int]:
    return {int(call.split()[-1]) for call in calls}


def test_positions_are_spread_over_the_input() -> None:
    drawn = draw_positions(1000, 10, 3)
    assert [position // 100 for position in drawn] == list(range(10))
    assert drawn == draw_positions(1000, 10, 3) != draw_positions(1000, 10, 4)
    assert draw_positions(4, 10, 0) == [0, 1, 2, 3]
    assert draw_positions(0, 10, 0) == []
    assert len({draw_positions(1000, 1, seed)[0] for seed in range(20)}) > 15


def test_the_run_makes_no_call_of_the_probe_again(probed: Callable[..., Path], tmp_path: Path, calls_log: Path) -> None:
    path = probed()
    found = probe(path, tmp_path / "out")
    first = made(calls_log)
    assert len(numbers(first)) == 10
    assert min(numbers(first)) < 10 and max(numbers(first)) >= 90
    assert not (tmp_path / "out" / "out.jsonl").exists(), "a probe writes no dataset"
    assert found.result.state is RunState.INTERRUPTED
    status = api.status(tmp_path / "out")
    assert (status["state"], status["total"], status["pending"]) == ("interrupted", 100, 90)

    result = mminf.run(path, output=tmp_path / "out")
    rest = made(calls_log)
    assert numbers(rest) == set(range(100)) - numbers(first)
    assert max(Counter([*first, *rest]).values()) == 1
    assert result.counts.done == 50
    assert result.calls == len(first) + len(rest) == 250

    mminf.run(path, output=tmp_path / "whole")
    whole = (tmp_path / "whole" / "out.jsonl").read_text()
    assert (tmp_path / "out" / "out.jsonl").read_text() == whole, "the dataset is that of a run without a probe"


def test_the_estimate_is_that_of_the_records(probed: Callable[..., Path], tmp_path: Path) -> None:
    found = probe(probed(), tmp_path / "out", 100)
    estimate = found.estimate
    assert estimate is not None
    assert (estimate.calls.value, estimate.accepted.value) == (250, 50)
    assert (estimate.calls.low, estimate.calls.high) == (250, 250), "every record was processed"
    assert estimate.completion_tokens.value == 150 * 10 + 100 * 1
    assert found.result.counts.done == 50


def test_a_second_probe_makes_no_call_and_finds_the_same(
    probed: Callable[..., Path], tmp_path: Path, calls_log: Path
) -> None:
    path = probed()
    first = probe(path, tmp_path / "out")
    assert made(calls_log)
    again = probe(path, tmp_path / "out")
    assert not made(calls_log)
    assert first.estimate is not None and again.estimate is not None
    assert again.estimate.calls == first.estimate.calls
    assert again.estimate.prompt_tokens == first.estimate.prompt_tokens
    assert again.estimate.engine_seconds.value == pytest.approx(first.estimate.engine_seconds.value)


def test_answers_from_the_journal_take_as_long_as_when_they_were_made(
    probed: Callable[..., Path], tmp_path: Path
) -> None:
    path, settings = probed(), {"engines.m.latency": 0.2}
    probe(path, tmp_path / "out", **settings)
    again = probe(path, tmp_path / "out", **settings)
    assert again.estimate is not None
    assert again.estimate.seconds.value > 0.4, "a record that passes has three calls, one after the other"
    assert again.unloaded == ["scripted"]
    assert "the answers were in the journal, so the time is without loading scripted" in estimate_text(again)


def test_a_probe_of_another_recipe_does_not_use_the_output(probed: Callable[..., Path], tmp_path: Path) -> None:
    path = probed()
    mminf.run(path, output=tmp_path / "out")
    with pytest.raises(OutputError, match="contains a run of recipe"):
        probe(path, tmp_path / "out", name="other")


def test_a_limit_limits_the_probe_and_the_estimate(
    probed: Callable[..., Path], tmp_path: Path, calls_log: Path
) -> None:
    found = probe(probed(), tmp_path / "out", limit=20)
    assert max(numbers(made(calls_log))) < 20
    assert found.total == 20
    assert found.estimate is not None and found.estimate.records.value == 20


def test_a_target_does_not_end_the_probe(probed: Callable[..., Path], tmp_path: Path, calls_log: Path) -> None:
    path = probed(records=2000)
    found = probe(path, tmp_path / "out", 20, target=3, window=4)
    first = made(calls_log)
    assert len(numbers(first)) == 20
    assert found.estimate is not None
    assert found.estimate.records.value == pytest.approx(3 / 0.5 + 4, rel=0.4)
    mminf.run(path, output=tmp_path / "out", overrides={"target": 3, "window": 4})
    assert max(Counter([*first, *made(calls_log)]).values()) == 1


STAGES = RECIPE.replace(
    "  - generate: {name: more",
    "  - deduplicate: {reads: said}\n  - limit: 40\n  - generate: {name: more",
)


def test_steps_over_all_records_are_stages_of_the_estimate(
    probed: Callable[..., Path], tmp_path: Path, calls_log: Path
) -> None:
    path = probed(text=STAGES)
    found = probe(path, tmp_path / "out", 20)
    first = made(calls_log)
    assert found.estimate is not None
    assert found.estimate.accepted.value == 40, "the limit counts the records of the run"
    assert found.estimate.calls.value == 200 + 40
    result = mminf.run(path, output=tmp_path / "out")
    rest = made(calls_log)
    assert max(Counter([*first, *rest]).values()) == 1
    assert result.counts.done == 40
    late = sum(call.startswith("More") for call in [*first, *rest])
    assert late <= 40 + sum(call.startswith("More") for call in first)


def test_a_recipe_that_begins_with_a_step_over_all_records(probed: Callable[..., Path], tmp_path: Path) -> None:
    path = probed(text=RECIPE.replace("steps:\n", "steps:\n  - limit: 60\n"))
    found = probe(path, tmp_path / "out", 20)
    assert found.estimate is not None
    assert found.figures.records == 20
    accepted = 60 * len(found.figures.accepted()) / 20
    assert (found.estimate.calls.value, found.estimate.accepted.value) == (120 + accepted, accepted)


SWAPPED = RECIPE.replace(
    "{m: {backend: scripted, script: SCRIPT}}",
    "{m: {backend: scripted, script: SCRIPT}, o: {backend: scripted, script: SCRIPT, model: other}}",
).replace("name: good, engine: m", "name: good, engine: o")


def test_models_that_are_swapped(probed: Callable[..., Path], tmp_path: Path, calls_log: Path) -> None:
    path = probed(text=SWAPPED)
    found = probe(path, tmp_path / "out", max_loaded_engines=1)
    first = made(calls_log)
    assert found.estimate is not None
    assert found.estimate.calls.value == 10 * len(first) == pytest.approx(250, abs=50)
    assert set(found.estimate.by_engine) == {"m", "o"}
    mminf.run(path, output=tmp_path / "out", overrides={"max_loaded_engines": 1})
    assert max(Counter([*first, *made(calls_log)]).values()) == 1


CHILDREN = RECIPE.replace(
    '  - generate: {name: ask, engine: m, prompt: "Ask {{ n }}", writes: said}\n',
    "  - set: {parts: '[0, 1, 2]'}\n  - split: {reads: parts, writes: part}\n",
).replace("Good? {{ n }}", "Good? {{ part }} {{ n }}")


def test_the_calls_of_children_belong_to_their_record(probed: Callable[..., Path], tmp_path: Path) -> None:
    found = probe(probed(text=CHILDREN), tmp_path / "out", 100)
    assert found.estimate is not None
    assert found.estimate.calls.value == 300 + 150
    assert found.estimate.accepted.value == 150
    assert sum(stage.inputs for stage in found.figures.roots[0].values()) == 100


def test_an_input_that_can_not_be_counted(
    probed: Callable[..., Path], tmp_path: Path, calls_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = probed(records=1500)
    monkeypatch.setattr(JsonLines, "count", lambda self: None)
    found = probe(path, tmp_path / "out")
    assert found.total is None
    assert 800 < max(numbers(made(calls_log))) < 1000, "from the first thousand rows"
    text = estimate_text(found)
    assert "estimate for 1,000 records, from 10 records; the input can't be counted" in text
    assert "the number of records is unknown: counting" in api.describe_plan(api.load(path))


def test_a_short_input_that_can_not_be_counted_is_counted_by_reading_it(
    probed: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = probed()
    monkeypatch.setattr(JsonLines, "count", lambda self: None)
    assert probe(path, tmp_path / "out").total == 100


def test_no_record(probed: Callable[..., Path], tmp_path: Path) -> None:
    found = probe(probed(records=0), tmp_path / "out")
    assert found.estimate is None
    assert estimate_text(found) == "no estimate: the input contains no record"


def test_all_records_dropped(probed: Callable[..., Path], tmp_path: Path) -> None:
    found = probe(probed(kept=10**9), tmp_path / "out", limit=90)
    assert found.estimate is not None
    assert found.estimate.accepted.value == 0
    text = estimate_text(found)
    assert "no record reached more; these calls are not in the estimate" in text
    assert "no record of the probe was accepted; `mminf preview` shows" in text
    assert found.estimate.calls.value == 180, "what is known is given"


FAILING = "\nimport json\ndef answer(request):\n    raise ValueError('no answer')\n"


def test_all_records_failed(probed: Callable[..., Path], tmp_path: Path) -> None:
    path = probed()
    (tmp_path / "script.py").write_text(FAILING)
    found = probe(path, tmp_path / "out")
    text = estimate_text(found)
    assert "probe: 10 records, 0 accepted, 10 failed" in text
    assert "failed at ask: r" in text and "no answer" in text
    assert found.estimate is not None and found.estimate.calls.value == 0
    with pytest.raises(EngineError, match="the first 20 records in the same way"):
        probe(path, tmp_path / "other", 30)


def test_rows_that_are_not_records_are_failed_records(probed: Callable[..., Path], tmp_path: Path) -> None:
    path = probed()
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write("[1]\n[2]\n")
    found = probe(path, tmp_path / "out", 102)
    assert found.estimate is not None
    assert (found.estimate.probed, len(found.figures.failed), found.estimate.calls.value) == (102, 2, 250)


def test_tokens_that_are_not_reported(probed: Callable[..., Path], tmp_path: Path) -> None:
    path = probed(text=RECIPE.replace("script: SCRIPT", "script: SCRIPT, price: {input: 5, output: 10, currency: EUR}"))
    script = (tmp_path / "script.py").read_text().replace('"stop", 100, 10', '"stop", 0, 0')
    script = script.replace('return "Yes" if number % 2 == 0 else "No"', 'return Generation("Yes", "stop", 0, 0)')
    (tmp_path / "script.py").write_text(script)
    found = probe(path, tmp_path / "out")
    assert found.estimate is not None and found.estimate.money["EUR"].value == 0
    assert "the engines report no tokens, so prices per token add nothing to the cost" in estimate_text(found)


def test_prices_make_money(probed: Callable[..., Path], tmp_path: Path) -> None:
    price = "price: {input: 1000, output: 100000, gpu_hour: 3600, gpus: 2, currency: EUR}"
    path = probed(text=RECIPE.replace("script: SCRIPT", f"script: SCRIPT, latency: 0.05, max_concurrency: 10, {price}"))
    found = probe(path, tmp_path / "out", 100)
    estimate = found.estimate
    assert estimate is not None and estimate.gpu_hours is not None
    tokens = estimate.prompt_tokens.value * 1000 / 1e6 + estimate.completion_tokens.value * 100000 / 1e6
    assert estimate.gpu_hours.value == pytest.approx(2 * estimate.seconds.value / 3600)
    assert estimate.money["EUR"].value == pytest.approx(tokens + 2 * estimate.seconds.value)
    text = estimate_text(found)
    assert f"{rounded(estimate.money['EUR'].value)} EUR" in text
    assert "GPU-hours" in text


def test_prices_change_no_run(probed: Callable[..., Path], tmp_path: Path, calls_log: Path) -> None:
    path = probed()
    mminf.run(path, output=tmp_path / "out", limit=10)
    made(calls_log)
    before = api.status(tmp_path / "out")["run"]
    priced = api.load(path, overrides={"engines.m.price": {"input": 5, "currency": "EUR"}})
    plain = api.load(path)
    digests = {api.prepare(item, output=tmp_path / "x").plan.digest for item in (priced, plain)}
    assert len(digests) == 1
    mminf.run(priced, output=tmp_path / "out", limit=10)
    assert not made(calls_log)
    assert api.status(tmp_path / "out")["run"] == before + 1


def test_engines_that_differ_in_prices_share_a_model(probed: Callable[..., Path], tmp_path: Path) -> None:
    text = RECIPE.replace(
        "{m: {backend: scripted, script: SCRIPT}}",
        "{m: {backend: scripted, script: SCRIPT, price: {output: 1}}, "
        "o: {backend: scripted, script: SCRIPT, price: {output: 1000}}}",
    ).replace("name: more, engine: m", "name: more, engine: o")
    found = probe(probed(text=text), tmp_path / "out", 100)
    assert found.estimate is not None
    assert found.estimate.money[""].value == pytest.approx((1100 * 1 + 500 * 1000) / 1e6)
    assert "shared with m" in api.describe_plan(api.load(tmp_path / "recipe.yaml"))


def test_the_run_after_a_probe_knows_its_time_left_at_once(probed: Callable[..., Path], tmp_path: Path) -> None:
    path = probed(text=RECIPE.replace("script: SCRIPT", "script: SCRIPT, latency: 0.02"))
    probe(path, tmp_path / "out")
    run = api.prepare(api.load(path), output=tmp_path / "out")
    api.execute(run)
    expected = run.session.stats.expected
    assert expected is not None and expected.records == 10
    assert expected.seconds == pytest.approx(2.5 * 0.02, rel=0.6)
    assert eta(run.session.stats) is None, "nothing is left"
    other = api.prepare(api.load(path, overrides={"steps.ask.prompt": "Ask it {{ n }}"}), output=tmp_path / "out")
    api.execute(other)
    assert other.session.stats.expected is None, "the probe was of other steps"


def test_status_projects_the_cost(probed: Callable[..., Path], tmp_path: Path) -> None:
    path = probed(text=RECIPE.replace("script: SCRIPT", "script: SCRIPT, price: {output: 1000, currency: EUR}"))
    probe(path, tmp_path / "out", 20)
    status = api.status(tmp_path / "out")
    assert status["cost"]["calls"] > 40
    expected = status["expected_cost"]
    assert expected is not None
    assert expected["calls"] == 5 * status["cost"]["calls"]
    assert expected["money"]["EUR"] == pytest.approx(5 * status["cost"]["money"]["EUR"])
    mminf.run(path, output=tmp_path / "out")
    status = api.status(tmp_path / "out")
    assert (status["cost"]["calls"], status["expected_cost"]) == (250, None)
    assert json.dumps(status)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (7, "7"),
        (250, "250"),
        (1234, "1,230"),
        (0.01234, "0.0123"),
        (3.0, "3"),
        (1234567, "1,230,000"),
        (99.96, "100"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert rounded(value) == text
