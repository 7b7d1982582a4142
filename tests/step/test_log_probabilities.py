"""Log-probabilities that are no numbers: some servers send NaN, which JSON does not have."""

from __future__ import annotations

import math

import pytest

from mminf.errors import RecordError
from mminf.request import Generation
from mminf.testing import run_step

NAN, INF = math.nan, math.inf


def answer(text: str, chosen: tuple[float, ...], of_choices: tuple[float, ...] | None = None) -> list[Generation]:
    return [Generation(text, "stop", 1, 1, logprobs=chosen, choice_logprobs=of_choices)]


@pytest.mark.parametrize(
    ("of_choices", "expected"),
    [((-INF, -INF, 0.0), 3.0), ((NAN, -1.0, -1.0), None), ((-1.0, -1.0, INF), None), (None, None)],
)
def test_an_expected_score(of_choices: tuple[float, ...] | None, expected: float | None) -> None:
    config = {"engine": "e", "prompt": "Score it.", "writes": "s", "expected": "mean", "scale": [1, 3]}
    found = run_step("score", config, {}, answers=answer("[[2]]", (-1.0,), of_choices))
    assert found == {"s": 2, "mean": expected}


@pytest.mark.parametrize(
    ("of_choices", "probability"), [((0.0, -INF), 1.0), ((-INF, 0.0), 0.0), ((NAN, 0.0), None), (None, None)]
)
def test_the_probability_of_a_verdict(of_choices: tuple[float, ...] | None, probability: float | None) -> None:
    config = {"engine": "e", "prompt": "Is it?", "writes": "ok", "probability": "p"}
    found = run_step("check", config, {}, answers=answer("Yes", (-1.0,), of_choices))
    assert found == {"ok": True, "p": probability}


def test_a_likelihood_that_is_not_finite_fails_its_record_with_the_reason() -> None:
    config = {"engine": "e", "prompt": "Say.", "writes": "y", "nll": "loss"}
    assert run_step("generate", config, {}, answers=answer("hi", (-1.0, -2.0))) == {"y": "hi", "loss": 1.5}
    for logprobs in ((-1.0, -INF), (NAN,)):
        with pytest.raises(RecordError, match="returned log-probabilities that are not finite, for `nll`"):
            run_step("generate", config, {}, answers=answer("hi", logprobs))
