"""`top`: keeps the records with the largest or smallest values."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mminf.errors import RecordError
from mminf.step import Drop
from mminf.testing import make_step, run_dataset_step


def kept(config: dict[str, Any], values: list[Any]) -> list[int]:
    outcomes = run_dataset_step("top", config, [{"text": value} for value in values])
    assert len(outcomes) == len(values)
    return [number for number, outcome in enumerate(outcomes) if outcome == {}]


TEXTS = ["aa", "a", "aaaa", "aaa", "aa"]


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({"count": 2, "highest": "text | length"}, [2, 3]),
        ({"count": 3, "highest": "text | length"}, [0, 2, 3]),
        ({"count": 1, "lowest": "text | length"}, [1]),
        ({"count": 2, "lowest": "text | length"}, [0, 1]),
        ({"count": 0, "highest": "text | length"}, []),
        ({"count": 300000, "highest": "text | length"}, [0, 1, 2, 3, 4]),
    ],
)
def test_the_best_are_kept_and_of_equal_ones_the_first(config: dict[str, Any], wanted: list[int]) -> None:
    assert kept(config, TEXTS) == wanted


def test_the_reason_of_a_drop_has_the_value() -> None:
    (_, dropped) = run_dataset_step("top", {"count": 1, "highest": "n"}, [{"n": 2.5}, {"n": 1}])
    assert dropped == Drop("not among the 1 best: 1")


def test_a_record_without_a_number_fails_alone() -> None:
    rows = [{"n": 1}, {"n": "x"}, {"n": None}, {}, {"n": True}, {"n": float("nan")}, {"n": 3}]
    outcomes = run_dataset_step("top", {"count": 1, "highest": "n"}, rows)  # type: ignore[arg-type]
    assert [isinstance(outcome, RecordError) for outcome in outcomes] == [False, True, True, True, True, True, False]
    assert isinstance(outcomes[0], Drop)
    assert outcomes[-1] == {}


@pytest.mark.parametrize("more", [{}, {"highest": "n", "lowest": "n"}])
def test_one_of_highest_and_lowest_is_given(more: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="give either `highest` or `lowest`"):
        make_step("top", {"count": 1, **more})


def test_the_fields_of_the_expression_are_read() -> None:
    assert make_step("top", {"count": 1, "highest": "text | length + n"}).reads == {"text", "n"}
