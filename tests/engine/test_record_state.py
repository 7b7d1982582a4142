"""The state of a record, without an event loop: its result depends on the record alone, never on the order of events."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mminf.engine.outcome import SKIPPED, Result, StepFailure, StepOutcome
from mminf.engine.plan import StageCheck, StagePlan
from mminf.engine.record_state import RecordState
from mminf.record import Record
from mminf.states import RecordStatus
from mminf.step.base import Drop
from mminf.template import Expression


@dataclass
class FakeStep:
    """What a record state needs of a step."""

    name: str
    condition: Expression | None = None
    removes: frozenset[str] = frozenset()


@dataclass
class Case:
    """A stage, and what its steps return for one record."""

    stage: StagePlan
    outcomes: list[StepOutcome]
    blocked: frozenset[int] = field(default_factory=frozenset)


def stage(waits: list[int], checks: tuple[StageCheck, ...] = (), removes: dict[int, str] | None = None) -> StagePlan:
    steps: Any = tuple(
        FakeStep(f"s{n}", removes=frozenset([removes[n]]) if removes and n in removes else frozenset())
        for n in range(len(waits))
    )
    return StagePlan(0, steps, tuple(waits), dataset=False, fingerprint="f", checks=checks)


ENDS = st.sampled_from(
    [Drop("bad"), Drop("low", {"kept": 1}), StepFailure("broken"), [], [{"c": 1}, {"c": 2}], SKIPPED]
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    size = draw(st.integers(1, 6))
    waits, outcomes, checks = [], [], []
    for step in range(size):
        waits.append(draw(st.integers(0, (1 << step) - 1)))
        outcomes.append(draw(st.one_of(st.just({f"f{step}": step}), st.just({f"f{step}": step}), ENDS)))
    for number in range(draw(st.integers(0, 2))):
        gate = draw(st.integers(0, size - 1))
        read = draw(st.integers(0, gate)) if gate else 0
        if gate and isinstance(outcomes[read], dict) and read < gate:
            limit = draw(st.sampled_from([read, read + 1]))  # one passes, one drops
            checks.append(StageCheck(number, gate, 1 << read, read + 1, Expression(f"f{read} >= {limit}")))
            waits[gate] |= 1 << read
    blocked = draw(st.frozensets(st.integers(0, size - 1), max_size=2))
    return Case(stage(waits, tuple(checks)), outcomes, blocked)


def run(case: Case, order: st.DataObject, state: RecordState, blocked: frozenset[int]) -> Result:
    """Runs a record with events in a drawn order, as a runner does."""
    running: list[int] = []
    while (ready := state.take_ready()) or running:
        running += ready
        step = running.pop(order.draw(st.integers(0, len(running) - 1)))
        if step >= state.limit:
            continue  # a runner cancels it
        if step in blocked:
            state.block(step)
        else:
            state.settle(step, case.outcomes[step])
    return state.result()


def plain(result: Result) -> object:
    children = None if result.children is None else [(child.id, child.path, child.fields) for child in result.children]
    return (result.state, result.step, result.reason, result.fields, children)


RECORD = Record("r", {"own": True}, 3)


@settings(max_examples=400)
@given(cases(), st.data())
def test_the_order_of_events_does_not_matter(case: Case, order: st.DataObject) -> None:
    results = [plain(run(case, order, RecordState(case.stage, RECORD), frozenset())) for _ in range(3)]
    assert results[0] == results[1] == results[2]


@settings(max_examples=400)
@given(cases(), st.data())
def test_a_record_that_was_parked_ends_as_one_that_was_not(case: Case, order: st.DataObject) -> None:
    expected = plain(run(case, order, RecordState(case.stage, RECORD), frozenset()))
    state = RecordState(case.stage, RECORD)
    found = run(case, order, state, case.blocked)
    for _ in range(len(case.outcomes)):
        if found.state is not RecordStatus.PARKED:
            break
        assert found.waits_for in case.blocked
        state = RecordState(case.stage, RECORD, 0, json.loads(json.dumps(state.progress())))
        found = run(case, order, state, frozenset())
    assert plain(found) == expected


@given(cases(), st.data())
def test_it_ends_at_the_first_step_in_order_that_ends_it(case: Case, order: st.DataObject) -> None:
    result = run(case, order, RecordState(case.stage, RECORD), frozenset())
    if result.step is not None:
        for step in range(result.step):
            ends = not isinstance(case.outcomes[step], dict) and case.outcomes[step] is not SKIPPED
            assert not ends or any(check.gate == result.step for check in case.stage.checks)
    for name in result.fields:
        if name.startswith("f"):
            assert result.step is None or int(name[1:]) < result.step, "nothing of the steps behind the end"


def test_the_record_is_replaced_and_never_changed() -> None:
    state = RecordState(stage([0, 1]), RECORD)
    (first,) = state.take_ready()
    before = state.record
    state.settle(first, {"f0": 1})
    assert before.fields == {"own": True}
    assert state.record.fields == {"own": True, "f0": 1}
    assert RECORD.fields == {"own": True}


def test_a_step_is_returned_once_and_can_be_put_back() -> None:
    state = RecordState(stage([0, 0, 3]), RECORD)
    assert state.take_ready() == [0, 1]
    assert state.take_ready() == []
    state.put_back([1])
    assert state.take_ready() == [1]
    state.settle(0, {})
    state.settle(1, SKIPPED)
    assert state.take_ready() == [2]
    assert state.limit == 3
    state.settle(2, StepFailure("broken"))
    assert state.limit == 2
    assert plain(state.result()) == (RecordStatus.FAILED, 2, "broken", {"own": True}, None)


def test_an_abandoned_record_starts_nothing_more() -> None:
    state = RecordState(stage([0, 0]), RECORD)
    state.abandon()
    assert state.take_ready() == []
    assert state.limit == -1


def test_children_have_what_the_steps_before_wrote_and_not_what_is_removed() -> None:
    state = RecordState(stage([0, 0, 0], removes={1: "f0"}), RECORD)
    assert state.take_ready() == [0, 1, 2]
    state.settle(1, [{"part": "a"}, {"part": "b"}])
    state.settle(0, {"f0": [1, 2]})
    result = state.result()
    assert (result.state, result.step, result.reason) == (RecordStatus.EXPANDED, 1, "2 children")
    assert result.children is not None
    assert [child.fields for child in result.children] == [{"own": True, "part": "a"}, {"own": True, "part": "b"}]
    assert [(child.id, child.path, child.seq, child.root) for child in result.children] == [
        ("r/0", (0,), 3, "r"),
        ("r/1", (1,), 3, "r"),
    ]
    assert result.fields == {"own": True, "f0": [1, 2]}


def test_a_child_starts_behind_its_parents_step() -> None:
    state = RecordState(stage([0, 1, 2]), Record("r/0", {"part": "a"}, 3, (0,), "r"), 2)
    assert state.take_ready() == [2]
    state.settle(2, {"f2": 1})
    assert plain(state.result()) == (RecordStatus.DONE, None, None, {"part": "a", "f2": 1}, None)


def test_no_children_is_a_drop() -> None:
    state = RecordState(stage([0]), RECORD)
    state.take_ready()
    state.settle(0, [])
    assert plain(state.result())[:3] == (RecordStatus.DROPPED, 0, "no children")


def check(number: int, gate: int, read: int, text: str) -> StageCheck:
    return StageCheck(number, gate, 1 << read, read + 1, Expression(text))


def test_a_check_ends_the_record_before_the_next_step() -> None:
    state = RecordState(stage([0, 0, 1], (check(0, 2, 0, "f0 > 5"),)), RECORD)
    assert state.take_ready() == [0, 1]
    state.settle(0, {"f0": 1})
    assert state.limit == 1, "the check comes right after the field that it reads"
    result = state.result()
    assert (result.state, result.step, result.reason) == (RecordStatus.DROPPED, 2, "f0 1 <= 5")


def test_of_two_checks_at_one_place_the_first_wins() -> None:
    checks = (check(1, 2, 0, "f0 > 6"), check(0, 2, 0, "f0 > 5"))
    state = RecordState(stage([0, 0, 1], checks), RECORD)
    state.take_ready()
    state.settle(0, {"f0": 1})
    assert state.result().reason == "f0 1 <= 5"


def test_a_check_that_fails_or_whose_gate_is_skipped_drops_nothing() -> None:
    state = RecordState(stage([0, 1], (check(0, 1, 0, "missing > 5"),)), RECORD)
    state.take_ready()
    state.settle(0, {"f0": 1})
    assert state.take_ready() == [1]
    plan = stage([0, 1], (check(0, 1, 0, "f0 > 5"),))
    gate: Any = plan.steps[1]
    gate.condition = Expression("not own")
    state = RecordState(plan, RECORD)
    state.take_ready()
    state.settle(0, {"f0": 1})
    assert state.take_ready() == [1]


def test_a_gate_that_was_passed_is_not_tested_again() -> None:
    plan = stage([0, 1], (check(0, 1, 0, "f0 > 5"),))
    known = {"written": {"1": {}}}
    state = RecordState(plan, RECORD, 0, known)
    assert state.take_ready() == [0]
    state.settle(0, {"f0": 1})
    assert state.result().state is RecordStatus.DONE


def test_a_blocked_step_behind_the_end_is_not_waited_for() -> None:
    state = RecordState(stage([0, 0]), RECORD)
    assert state.take_ready() == [0, 1]
    state.block(1)
    assert state.result().state is RecordStatus.PARKED
    assert state.result().waits_for == 1
    state.settle(0, Drop("bad"))
    assert plain(state.result())[:3] == (RecordStatus.DROPPED, 0, "bad")
