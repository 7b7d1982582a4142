"""Estimates of ten recipes, with engines whose lengths and durations are random, are close to their runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from .measure import compare
from .recipes import NAMES
from .simulated import simulate

RECORDS, PROBE = 400, 150
FIGURES = ("calls", "prompt_tokens", "completion_tokens", "engine_seconds", "seconds")


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", NAMES)
def test_an_estimate_is_within_20_percent(
    name: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = compare(simulate(monkeypatch), tmp_path, name, records=RECORDS, probe=PROBE, seed=seed)
    errors = {figure: found.error(figure) for figure in FIGURES}
    assert max(map(abs, errors.values())) <= 0.2, errors


def test_an_engine_that_slows_down_with_its_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"slower": 0.0005, "token": 0.005, "max_concurrency": 128, "spread": 0.2}
    found = compare(simulate(monkeypatch), tmp_path, "drawn-3", records=120, probe=30, **settings)
    assert abs(found.error("seconds")) <= 0.3
    assert abs(found.error("engine_seconds")) <= 0.3
    assert found.estimate.engine_seconds.high > 1.1 * found.estimate.engine_seconds.value
