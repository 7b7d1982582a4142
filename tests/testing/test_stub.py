"""A plugin's author tests a step in three lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from mminf.errors import RecordError, UnusableAnswer
from mminf.request import Generation
from mminf.step import Context, Drop, Outcome, Record, Step, StepConfig
from mminf.step.outcome import _warn_of_drop
from mminf.testing import StubGateway, make_step, run_dataset_step, run_step


class ShoutConfig(StepConfig):
    reads: str = "text"
    writes: str = "shout"


class Shout(Step[ShoutConfig]):
    """Writes a text in capital letters."""

    async def run(self, record: Record, ctx: Context) -> Outcome:
        return {self.config.writes: record[self.config.reads].upper()}


def test_a_class_that_nobody_registered() -> None:
    assert run_step(Shout, {"writes": "loud"}, {"text": "hi"}) == {"loud": "HI"}
    with pytest.raises(RecordError, match="no field 'text'"):
        run_step(Shout)


def test_answers_in_a_list_by_prompt_and_by_function() -> None:
    config = {"engine": "llm", "prompt": "say {{ q }}", "writes": "said"}
    assert run_step("generate", config, {"q": "hi"}, answers=["hello"]) == {"said": "hello"}
    assert run_step("generate", config, {"q": "hi"}, answers={"say hi": "hello"}) == {"said": "hello"}
    assert run_step("generate", config, {"q": "hi"}, answers=lambda request: request.turns[0].text) == {
        "said": "say hi"
    }
    cut = Generation("hel", "length", 1, 1)
    with pytest.raises(RecordError, match="max_tokens"):
        run_step("generate", config, {"q": "hi"}, answers=[cut])
    with pytest.raises(RecordError, match="call 1, but there are 0 answers"):
        run_step("generate", config, {"q": "hi"})
    with pytest.raises(RecordError, match="away"):
        run_step("generate", config, {"q": "hi"}, answers=[RecordError("away")])


def test_an_answer_that_can_not_be_used_is_retried_by_the_caller() -> None:
    score = make_step("score", {"engine": "llm", "prompt": "rate {{ q }}", "name": "clarity"})
    assert run_step(score, fields={"q": "x"}, answers=["4"]) == {"clarity": 4}
    with pytest.raises(UnusableAnswer):
        run_step(score, fields={"q": "x"}, answers=["I can't tell"])


def test_requests_can_be_looked_at(tmp_path: Path) -> None:
    gateway = StubGateway(["a", "b"])
    config = {"engine": "vlm", "for_each": "parts", "prompt": "{{ images }}what is {{ item }}", "writes": "said"}
    fields = {"images": ["a.png"], "parts": ["x", "y"]}
    outcome = run_step("generate", config, fields, gateway=gateway)
    assert outcome == {"parts": [{"item": "x", "said": "a"}, {"item": "y", "said": "b"}]}
    assert [request.images[0].uri for request in gateway.requests] == ["a.png", "a.png"]
    assert len({request.seed for request in gateway.requests}) == 2


def test_dataset_steps() -> None:
    found = run_dataset_step("deduplicate", {"reads": "q"}, [{"q": "same text"}, {"q": "same text"}, {"q": 5}])
    assert found[0] == {}
    assert isinstance(found[1], Drop)
    with pytest.raises(TypeError, match="is not a dataset step"):
        run_dataset_step(Shout, None, [])


class Careless(Step[ShoutConfig]):
    """Returns what a record's field names; it is no gate."""

    type = "careless"

    async def run(self, record: Record, ctx: Context) -> Outcome:
        return {
            "none": None,
            "good": {"shout": "A"},
            "number": {1: 2},
            "undeclared": {"other": 1},
            "children": [{"shout": "a"}],
            "drop": Drop("no"),
        }[  # type: ignore[return-value]
            str(record["text"])
        ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("none", "returned NoneType, not fields, a Drop or a list of fields"),
        ("undeclared", "wrote other, which it does not declare"),
        ("number", "wrote 1, which it does not declare"),
        ("children", "made children, but its class does not set `gate = True`"),
    ],
)
def test_an_outcome_that_a_run_refuses_is_an_error(text: str, error: str) -> None:
    with pytest.raises(RecordError, match=error):
        run_step(Careless, {}, {"text": text})


def test_a_drop_of_a_step_that_is_no_gate_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    _warn_of_drop.cache_clear()
    for _ in range(2):
        assert isinstance(run_step(Careless, {}, {"text": "drop"}), Drop)
    (told,) = caplog.messages
    assert told.startswith("step type 'careless' dropped a record, but its class does not set `gate = True`")


def test_a_drop_of_an_item_is_no_drop_of_a_record(caplog: pytest.LogCaptureFixture) -> None:
    _warn_of_drop.cache_clear()
    outcome = run_step(
        Careless, {"for_each": "items", "reads": "text"}, {"items": [{"text": "drop"}, {"text": "good"}]}
    )
    assert outcome == {"items": [{"text": "good", "shout": "A"}]} and not caplog.messages
