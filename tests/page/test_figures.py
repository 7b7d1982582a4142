"""The figures of a run, counted from outcomes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mminf.listing import ListedRecord
from mminf.page.figures import Figures, ScoreField, score_fields

STEPS = ["hook", "classify", "keep", "respond"]


def outcome(state: str, step: str | None = None, reason: str | None = None, **fields: object) -> ListedRecord:
    return {
        "id": "x", "stage": 0, "state": state, "step": step, "reason": reason, "fields": fields,
    }  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(["done", "dropped", "failed"]), st.sampled_from(STEPS))))
def test_the_funnel_loses_no_record(ends: list[tuple[str, str]]) -> None:
    figures = Figures([STEPS])
    for state, step in ends:
        figures.add(outcome(state, None if state == "done" else step, "so"))
    funnel = figures.funnel()
    assert [step.name for step in funnel] == STEPS
    assert figures.total == len(ends)
    left = len(ends)
    for step in funnel:
        assert step.entered == left
        left -= step.dropped + step.failed
    assert left == figures.done
    assert all(step.passed is None or 0 <= step.passed <= 1 for step in funnel)


def test_pass_rates_leave_out_failures() -> None:
    figures = Figures([STEPS])
    for state, step in [("dropped", "classify")] * 5 + [("failed", "classify")] * 10 + [("done", None)] * 5:
        figures.add(outcome(state, step))
    classify = figures.funnel({"classify": 0.499})[1]
    assert (classify.entered, classify.dropped, classify.failed) == (20, 5, 10)
    assert classify.passed == 0.5 and classify.published == 0.499
    assert figures.funnel()[2].passed == 1.0


def test_records_of_an_unknown_step_and_of_the_source_are_in_the_funnel() -> None:
    figures = Figures([STEPS])
    figures.add(outcome("failed", None, "no image"))
    figures.add(outcome("dropped", "renamed", "so"))
    assert [step.name for step in figures.funnel()] == ["source", *STEPS, "renamed"]


def test_records_that_wait_for_a_later_stage_have_passed_the_earlier_ones() -> None:
    figures = Figures([["ask", "keep"], ["respond"]])
    for _ in range(3):
        figures.add({**outcome("waiting"), "stage": 0})
    figures.add(outcome("dropped", "keep"))
    figures.add({**outcome("done"), "stage": 1})
    assert figures.total == 5
    assert [(step.name, step.entered, step.passed) for step in figures.funnel()] == [
        ("ask", 5, 1.0),
        ("keep", 5, 0.8),
        ("respond", 1, 1.0),
    ]


def test_scores() -> None:
    recipe = {
        "steps": [
            {"score": {"name": "clarity", "writes": None, "scale": [1, 5], "expected": "mean", "for_each": None}},
            {"score": {"name": "quality", "writes": "grade", "scale": [1, 10], "expected": None, "for_each": None}},
            {"score": {"name": "each", "for_each": {"field": "turns"}}},
            {"keep": {"name": "keep"}, "version": 1},
        ]
    }
    fields = list(score_fields(recipe))
    assert fields == [ScoreField("clarity", 1, 5, "mean"), ScoreField("grade", 1, 10)]
    figures = Figures([STEPS], fields)
    for clarity, mean in [(1, 1.0), (3, 2.8), (5, 5.0), (5, 4.9)]:
        figures.add(outcome("done", clarity=clarity, mean=mean))
    figures.add(outcome("dropped", "hook", clarity=True))
    (score,) = figures.score_figures()
    assert score.counts == (1, 0, 1, 0, 2)
    assert [score.kept(value) for value in score.values] == [1.0, 0.75, 0.75, 0.5, 0.5]
    assert sum(score.expected_counts) == 4 and score.expected_counts[0] == 1 and score.expected_counts[-1] == 2
    assert score.expected_edges[0] == 1 and score.expected_edges[-1] == 5
