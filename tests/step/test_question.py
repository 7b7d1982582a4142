"""A model is not called about images without a question: it would answer one that it makes up."""

from __future__ import annotations

import pytest

from mminf.errors import RecordError
from mminf.testing import StubGateway, run_step

CONFIG = {"engine": "vlm", "reads": "question", "writes": "answer"}


@pytest.mark.parametrize("question", ["", "  \n"])
@pytest.mark.parametrize("kind", ["generate", "respond"])
def test_an_empty_question_fails_the_record_before_the_call(kind: str, question: str) -> None:
    gateway = StubGateway(["It is a cat."])
    with pytest.raises(RecordError, match="^field 'question' is empty$"):
        run_step(kind, CONFIG, {"question": question, "images": []}, gateway=gateway)
    assert not gateway.requests


@pytest.mark.parametrize("kind", ["generate", "respond"])
def test_a_question_that_is_missing_or_null_is_named_and_no_template(kind: str) -> None:
    """The recipe has none."""
    with pytest.raises(RecordError, match="^record has no field 'question'; it has: images, qestion$"):
        run_step(kind, CONFIG, {"qestion": "What?", "images": []}, answers=["a"])
    with pytest.raises(RecordError, match="^field 'question' is null$"):
        run_step(kind, CONFIG, {"question": None, "images": []}, answers=["a"])


@pytest.mark.parametrize("question", ["0", 0, False, " What? "])
def test_other_values_are_questions(question: object) -> None:
    fields = {"question": question, "images": []}
    assert run_step("generate", {**CONFIG, "images": "optional"}, fields, answers=["a"]) == {"answer": "a"}  # type: ignore[arg-type]


def test_a_template_may_show_an_empty_field() -> None:
    config = {"engine": "llm", "prompt": "Describe it. {{ hint }}", "writes": "answer"}
    assert run_step("generate", config, {"hint": ""}, answers=["a"]) == {"answer": "a"}
