"""The times of calls and records, measured in simulated time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf import api
from mminf.cost.eta import Expected, Progress, time_left
from mminf.cost.refine import CostStatus
from mminf.display.cost import cost_lines
from mminf.display.table import eta
from mminf.engine.probe import ProbeResult
from mminf.engine.stats import RunStats
from mminf.journal import Journal
from mminf.request import Generation

from .simulated import simulate

RECIPE = """
name: timed
engines: {m: {backend: simulated, start: 2, token: 0, spread: 0, max_concurrency: 2}}
source: {jsonl: rows.jsonl}
steps:
  - generate: {name: one, engine: m, prompt: "One {{ n }}", writes: a}
  - generate: {name: two, engine: m, prompt: "Two {{ n }} {{ a }}", writes: b}
sinks: [{jsonl: o.jsonl}]
"""
Write = Callable[[str], Path]


@pytest.fixture
def recipe(write_recipe: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    simulate(monkeypatch)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"id": f"r{n}", "n": n}) + "\n" for n in range(8)))
    return write_recipe(RECIPE)


def probe(recipe: Path, output: Path, records: int = 8) -> ProbeResult:
    return api.probe(api.prepare(api.load(recipe), output=output), records=records)


def test_the_duration_of_a_call_is_without_the_wait_for_a_slot(recipe: Path, tmp_path: Path) -> None:
    found = probe(recipe, tmp_path / "out")
    calls = found.figures.calls
    assert len(calls) == 16
    assert {round(call.seconds, 6) for call in calls} == {2.0}
    assert {round(call.in_flight, 6) for call in calls} == {2.0}
    assert {round(call.waited) for call in calls if call.step == "one"} == {0, 2, 4, 6}
    with Journal(tmp_path / "out") as journal:
        assert {name: round(total.seconds, 6) for name, total in journal.memo.totals().items()} == {
            "one": 16.0,
            "two": 16.0,
        }


def test_the_duration_of_a_record_is_without_its_waits(recipe: Path, tmp_path: Path) -> None:
    found = probe(recipe, tmp_path / "out")
    assert found.figures.longest == [pytest.approx(4)]
    assert {round(stage.seconds, 6) for stage in found.figures.roots[0].values()} == {4.0}
    assert found.estimate is not None
    assert found.estimate.engine_seconds.value == pytest.approx(32)
    assert found.estimate.seconds.value == pytest.approx(16 + 2, rel=0.01), "and half of the last record"


def test_answers_from_the_journal_keep_their_durations(recipe: Path, tmp_path: Path) -> None:
    probe(recipe, tmp_path / "out")
    again = probe(recipe, tmp_path / "out").figures
    assert {(round(call.seconds, 6), call.in_flight) for call in again.calls} == {(2.0, 0.0)}


def test_the_time_left_is_right_from_the_beginning(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"id": f"r{n}", "n": n}) + "\n" for n in range(200)))
    probe(recipe, tmp_path / "out", 4)
    seen: list[tuple[float, float | None]] = []
    count = RunStats.count_answered

    def counting(stats: RunStats, answer: Generation) -> None:
        count(stats, answer)
        seen.append((stats.progress.elapsed, eta(stats)))

    monkeypatch.setattr(RunStats, "count_answered", counting)
    api.execute(api.prepare(api.load(recipe), output=tmp_path / "out"))
    whole = seen[-1][0]
    assert whole == pytest.approx(2 * 196, rel=0.05)
    ends = [elapsed + left for elapsed, left in seen[10:-20] if left is not None]
    assert len(ends) == len(seen) - 30
    assert all(abs(end / whole - 1) < 0.1 for end in ends)


@given(
    total=st.integers(1, 1000),
    settled=st.integers(0, 1000),
    measured=st.integers(0, 1000),
    final=st.floats(0, 1e4),
    flying=st.floats(0, 1e6),
    set_aside=st.sampled_from([0.0, 3.0]),
    expected=st.none() | st.builds(Expected, st.integers(1, 50), st.floats(0.01, 100)),
)
def test_an_unfinished_run_has_time_left_or_no_estimate(
    total: int,
    settled: int,
    measured: int,
    final: float,
    flying: float,
    set_aside: float,
    expected: Expected | None,
) -> None:
    """Calls to servers that do not answer become longer than the mean: "0:00 left" would be wrong."""
    worked = final + flying
    made = Progress(total, min(settled, total - 1), 0, measured, worked, worked, final, set_aside, 60.0)
    left = time_left(made, expected)
    assert left is None or left > 0


def test_what_a_run_has_cost_is_exact_and_what_it_will_cost_is_rounded() -> None:
    """The lines of `mminf status` stand above a table with the exact numbers."""
    cost = CostStatus(calls=1132, prompt_tokens=98765, completion_tokens=4321, call_seconds=1, money={}, unpriced=[])
    assert list(cost_lines(cost, cost)) == [
        "so far: 1,132 calls, 98,765 prompt + 4,321 answer tokens",
        "all records, in proportion: about 1,130 calls, 98,800 prompt + 4,320 answer tokens",
    ]
