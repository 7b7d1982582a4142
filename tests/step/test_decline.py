"""`drop_if`: a sentence with which the prompt allows the model to decline."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from mminf.step import Drop
from mminf.step.generate import GenerateConfig
from mminf.testing import run_step

from .runs import Run, calls

CONFIG = {"engine": "a", "prompt": "hi", "drop_if": "NONE|I can't"}


def test_an_answer_that_declines_drops_the_record(go: Run, calls_log: Path) -> None:
    steps = """
    - generate: {engine: a, prompt: "{{ q }}", drop_if: NONE, writes: r}
    - generate: {name: later, engine: a, prompt: "again {{ q }}", writes: s}
    """
    found = go(
        steps, {"id": "x", "q": "bad"}, {"id": "y", "q": "b"}, reply='return "NONE" if "bad" in text else "fine"'
    )
    assert list(found["rows"]) == ["y"]
    assert found["dropped"]["x"].reason == "the answer is 'NONE'"
    assert calls(calls_log) == ["again b", "b", "bad"], "neither retried nor continued"


def test_only_the_start_of_an_answer_counts() -> None:
    assert run_step("generate", CONFIG, answers=["  I can't do it."]) == Drop('the answer is "I can\'t do it."')
    assert run_step("generate", CONFIG, answers=["There is NONE."]) == {"response": "There is NONE."}


def test_answers_that_decline_are_left_out_of_several() -> None:
    settings = {**CONFIG, "n": 2, "into": "tries", "sampling": {"temperature": 1}}
    assert run_step("generate", settings, answers=["NONE", "fine"]) == {"tries": [{"response": "fine"}]}
    assert run_step("generate", settings, answers=["NONE", "NONE"]) == Drop("the answer is 'NONE'")


def test_a_wrong_pattern_is_refused() -> None:
    with pytest.raises(ValidationError, match="not a valid pattern"):
        GenerateConfig.model_validate({**CONFIG, "drop_if": "("})
