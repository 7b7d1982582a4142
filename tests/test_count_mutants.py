"""The count of `make mutants`."""

from __future__ import annotations

import pytest
from count_mutants import read_results, report

STATE = "mminf.engine.record_state.xǁRecordStateǁsettle__mutmut"
PARSER = "mminf.answer.clean.x__unwrap_all__mutmut"
MODULE = "mminf.reasoning.x_split_reasoning__mutmut"


def lines(name: str, killed: int, left: int) -> list[str]:
    statuses = ["killed"] * (killed - 1) + ["timeout"] + ["survived"] * (left - 1) + ["no tests"] * min(1, left)
    return [f"    {name}_{number}: {status}\n" for number, status in enumerate(statuses, 1)]


def test_mutants_are_counted_by_file() -> None:
    killed, total = read_results([*lines(STATE, 9, 1), *lines(PARSER, 2, 3), *lines(MODULE, 1, 0), "a warning\n"])
    assert killed == {"mminf.engine.record_state": 9, "mminf.answer.clean": 2, "mminf.reasoning": 1}
    assert total == {"mminf.engine.record_state": 10, "mminf.answer.clean": 5, "mminf.reasoning": 1}


def test_each_group_must_reach_the_minimum(capsys: pytest.CaptureFixture[str]) -> None:
    assert report([*lines(STATE, 8, 2), *lines(PARSER, 7, 2), *lines(MODULE, 1, 0)])
    printed = capsys.readouterr().out
    assert "mminf/answer/clean.py" in printed
    assert "8 of   10 killed,   2 left,  80.0 %" in printed
    assert not report([*lines(STATE, 90, 1), *lines(PARSER, 7, 3)])
    assert "70.0 %: below 80 %" in capsys.readouterr().out
    assert report([*lines(STATE, 90, 1), *lines(PARSER, 7, 3)], minimum=70)


def test_a_group_without_results_fails() -> None:
    assert not report(lines(PARSER, 10, 0))
