"""`failure`: a record without a usable answer continues, with the reason in a field."""

from __future__ import annotations

from pathlib import Path

import pytest

import mminf
from mminf import api
from mminf.errors import EngineError, RecipeError, RecordError
from mminf.step import Drop, Generation, UnusableAnswer
from mminf.testing import StubGateway, make_step, run_step

from .runs import Run, calls

STEPS = """
- generate: {name: ask, engine: a, prompt: "{{ q }}", extract: {regex: 'is (?P<found>\\w+)'}, failure: why}
- set: {name: after, fields: {late: "found | default('nothing')"}}
"""
REPLY = """
if "down" in text:
    raise ValueError("told to fail")
return "no" if "bad" in text else "It is red."
"""


def test_the_record_continues_without_the_fields_of_the_step(go: Run, calls_log: Path) -> None:
    found = go(STEPS, {"id": "good", "q": "a"}, {"id": "bad", "q": "bad"}, reply=REPLY)
    assert found["rows"]["good"] == {"id": "good", "q": "a", "found": "red", "late": "red"}
    row = found["rows"]["bad"]
    assert row.pop("why") == "nothing matches 'is (?P<found>\\\\w+)' in 'no' (3 attempts)"
    assert row == {"id": "bad", "q": "bad", "late": "nothing"}
    assert calls(calls_log) == ["a", "bad", "bad", "bad"]


def test_a_second_run_repeats_no_call_and_more_attempts_repeat_only_the_failed(
    go: Run, calls_log: Path, tmp_path: Path
) -> None:
    items = ({"id": "good", "q": "a"}, {"id": "bad", "q": "bad"})
    go(STEPS, *items, reply=REPLY)
    calls_log.write_text("")
    again = go(STEPS, *items, reply=REPLY)
    assert not calls(calls_log)
    assert set(again["rows"]) == {"good", "bad"}
    go(STEPS, *items, reply=REPLY, **{"steps.ask.attempts": 5})
    assert calls(calls_log) == ["bad", "bad"]
    assert mminf.status(tmp_path / "out")["failed"] == 0


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"q": "down"}, "scripted: told to fail"),
        ({"other": 1}, "template prompt: 'q' is undefined"),
        ({"q": None}, "it would print null"),
    ],
)
def test_other_errors_fail_the_record(go: Run, item: dict[str, object], reason: str) -> None:
    found = go(STEPS, {"id": "x", **item}, {"id": "good", "q": "a"}, reply=REPLY)
    assert reason in found["failed"]["x"]
    assert list(found["rows"]) == ["good"]


def test_a_bug_in_a_step_fails_the_record() -> None:
    def answer(request: object) -> str:
        raise KeyError("bug")

    step = make_step("generate", {"engine": "a", "prompt": "hi", "failure": "why"})
    with pytest.raises(RecordError, match="KeyError: 'bug'"):
        run_step(step, answers=answer)


def test_truncated_answers_are_unusable() -> None:
    cut = Generation("It is", "length", 1, 9)
    for truncated, number in ((False, 1), ("retry", 3)):
        settings = {"engine": "a", "prompt": "hi", "failure": "why", "truncated": truncated}
        gateway = StubGateway([cut] * 3)
        found = run_step("generate", settings, gateway=gateway)
        assert "truncated after 9 tokens" in found["why"]  # type: ignore[index, call-overload, operator]
        assert list(found) == ["why"] and len(gateway.requests) == number


def test_several_answers_of_which_none_is_usable() -> None:
    settings = {"engine": "a", "prompt": "hi", "n": 2, "into": "tries", "attempts": 1, "sampling": {"temperature": 1}}
    found = run_step("generate", {**settings, "failure": "why"}, answers=["", ""])
    assert found == {"why": "none of 2 answers can be used; the first: answer is empty"}
    assert run_step("generate", {**settings, "failure": "why"}, answers=["", "x"]) == {"tries": [{"response": "x"}]}


def test_a_failed_item_stays_in_its_list(go: Run) -> None:
    steps = '- score: {name: s, for_each: list, engine: a, prompt: "{{ t }}", failure: why}\n'
    reply = 'return "[[5]]" if "good" in text else "no score"'
    found = go(steps, {"id": "x", "list": [{"t": "good"}, {"t": "bad"}]}, reply=reply)
    good, bad = found["rows"]["x"]["list"]
    assert good == {"t": "good", "s": 5}
    assert bad == {"t": "bad", "why": "no score from 1 to 5 in 'no score' (3 attempts)"}


def test_a_record_that_a_gate_drops_is_dropped() -> None:
    settings = {"engine": "a", "prompt": "hi", "drop_if": "NONE", "failure": "why"}
    made = make_step("generate", settings)
    assert made.gate
    assert run_step(made, answers=["NONE"]) == Drop("the answer is 'NONE'")


def test_retries_are_counted_and_the_condition_is_tested(go: Run, tmp_path: Path) -> None:
    steps = STEPS.replace("failure: why", "failure: why, when: q != 'skip'")
    found = go(steps, {"id": "bad", "q": "bad"}, {"id": "skip", "q": "skip"}, reply=REPLY)
    assert "why" not in found["rows"]["skip"]
    recipe = api.load(tmp_path / "recipe.yaml")
    made = api.prepare(recipe, output=tmp_path / "out2")
    api.execute(made)
    assert made.session.stats.steps["ask"].retries == 2
    assert made.session.stats.steps["ask"].skipped == 1


def test_a_run_stops_if_no_record_has_a_usable_answer(go: Run) -> None:
    items = [{"id": str(n), "q": f"bad {n}"} for n in range(40)]
    with pytest.raises(EngineError, match="step 'ask' failed the first 5 records in the same way"):
        go(STEPS, *items, reply=REPLY, max_same_failures=5)
    assert len(go(STEPS, *items, reply=REPLY, max_same_failures=None)["rows"]) == 40


def test_the_prompt_can_be_shown(go: Run, tmp_path: Path) -> None:
    go(STEPS, {"id": "good", "q": "a"}, reply=REPLY)
    recipe = api.load(tmp_path / "recipe.yaml")
    assert "a" in str(api.render(recipe, "ask", record="good", output=tmp_path / "out"))


def test_a_field_that_the_step_writes_is_refused(go: Run) -> None:
    with pytest.raises(RecipeError, match="`failure: found` is a field that the step itself writes"):
        go(STEPS.replace("failure: why", "failure: found"), {"id": "x", "q": "a"})


def test_a_step_that_calls_no_model_has_no_failure(go: Run) -> None:
    with pytest.raises(RecipeError, match="unknown key 'failure'"):
        go("- keep: {expression: a, failure: why}\n", {"id": "x", "a": 1})


def test_unusable_answers_are_told_from_other_errors() -> None:
    step = make_step("generate", {"engine": "a", "prompt": "hi"})
    with pytest.raises(UnusableAnswer, match="answer is empty"):
        run_step(step, answers=[""])
