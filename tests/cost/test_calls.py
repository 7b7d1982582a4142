"""How many calls a recipe makes, from what its steps declare."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mminf import api
from mminf.cost import NONE, ONE, UNKNOWN, Amount, Range
from mminf.cost.recipe import StepCalls, count_calls, most_calls, total

WriteRecipe = Callable[[str], Path]
HEAD = "engines: {m: {backend: scripted, answer: hi}}\nsource: {jsonl: rows.jsonl}\nsteps:\n"


@pytest.fixture
def count(write_recipe: WriteRecipe) -> Callable[[str], list[StepCalls]]:
    """Counts the calls of a list of steps."""

    def counted(steps: str) -> list[StepCalls]:
        return count_calls(api.load(write_recipe(HEAD + steps + "\nsinks: [{jsonl: out.jsonl}]\n")).steps)

    return counted


Count = Callable[[str], list[StepCalls]]


def both(calls: list[StepCalls]) -> tuple[float, float | None]:
    return total(step.calls for step in calls).least, most_calls(calls, [step.calls for step in calls])


ASK = "  - generate: {name: ask, engine: m, prompt: hi, extract: {lines: found, item: it, count: [2, 5]}}\n"
PLAIN = "  - generate: {name: ask, engine: m, prompt: hi, extract: {lines: found, count: [2, 5]}}\n"


@pytest.mark.parametrize(
    ("steps", "least", "most"),
    [
        ("  - generate: {engine: m, prompt: hi}", 1, 1),
        ("  - set: {a: '1'}", 0, 0),
        ("  - generate: {engine: m, prompt: hi, n: 4, into: all, sampling: {temperature: 1}}", 4, 4),
        ("  - compare: {engine: m, reads: [a, b], prompt: '{{ a }}{{ b }}'}", 2, 2),
        ("  - generate: {engine: m, prompt: hi, when: a == 1}", 0, 1),
        ("  - generate: {engine: m, prompt: hi, failure: why}", 1, 1),
        ("  - hook: {engine: m, images: false, n: 3}\n  - score: {engine: m, prompt: hi}", 4, 6),
        (ASK + "  - check: {engine: m, for_each: found, prompt: '{{ it }}'}", 3, 6),
        (ASK + "  - check: {engine: m, for_each: found, when: it == 1, prompt: '{{ it }}'}", 1, 6),
        (
            ASK + "  - keep: {for_each: {field: found, empty: keep}, expression: it}\n"
            "  - check: {engine: m, for_each: found, prompt: '{{ it }}'}",
            1,
            6,
        ),
        (
            ASK + "  - keep: {for_each: found, expression: it}\n"
            "  - check: {engine: m, for_each: found, prompt: '{{ it }}'}",
            2,
            6,
        ),
        (
            ASK + "  - compare: {engine: m, for_each: found, reads: [it, other], prompt: '{{ a }}{{ b }}', writes: x}",
            5,
            11,
        ),
        (PLAIN + "  - split: {reads: found, writes: it}\n  - check: {engine: m, prompt: '{{ it }}'}", 3, 6),
        (
            PLAIN + "  - split: {reads: found, writes: it, when: a == 1}\n  - check: {engine: m, prompt: '{{ it }}'}",
            2,
            6,
        ),
        (
            ASK + "  - set: {name: cut, fields: {found: 'found[:2]'}}\n"
            "  - check: {engine: m, for_each: found, prompt: '{{ it }}'}",
            1,
            6,
        ),
        (
            ASK + "  - set: {name: turned, fields: {found: found | reverse | list}}\n"
            "  - check: {engine: m, for_each: found, prompt: '{{ it }}'}",
            3,
            6,
        ),
        ("  - set: {found: 'range(3) | list'}\n  - check: {engine: m, for_each: found, prompt: hi}", 3, 3),
        (
            "  - draw: {values: [1, 2, 3], n: 2, writes: found}\n  - check: {engine: m, for_each: found, prompt: hi}",
            1,
            2,
        ),
        (
            "  - repeat: {times: 4, until: done, steps: [generate: {name: ask, engine: m, prompt: hi, writes: done}]}",
            1,
            4,
        ),
        ("  - repeat: {times: 4, steps: [generate: {name: ask, engine: m, prompt: hi, writes: done}]}", 4, 4),
    ],
)
def test_calls_per_record(count: Count, steps: str, least: float, most: float) -> None:
    assert both(count(steps)) == (least, most)


@pytest.mark.parametrize(
    "change", ["found: other", "found: found + found", "found: \"it if it else ['a', 'b']\"", "found: 1 / 0"]
)
def test_a_list_of_unknown_length_has_no_bound(count: Count, change: str) -> None:
    steps = ASK + f"  - set: {{name: new, fields: {{{change}}}}}\n"
    (_, check) = count(steps + "  - check: {engine: m, for_each: found, prompt: hi}")
    assert (check.calls, check.list_field) == (UNKNOWN, "found")


def test_children_of_unknown_number_have_no_bound(count: Count) -> None:
    (check,) = count("  - split: {reads: words, separator: ' ', writes: it}\n  - check: {engine: m, prompt: hi}")
    assert (check.records, check.each, check.list_field) == (UNKNOWN, ONE, "split")


def test_dropped_items_are_a_list_as_well(count: Count) -> None:
    steps = ASK + "  - keep: {for_each: {field: found, dropped: bad}, expression: it}\n"
    (_, check) = count(steps + "  - check: {engine: m, for_each: bad, prompt: hi}")
    assert check.calls == Range(0, 5)


def test_a_record_has_one_of_several_kinds(count: Count) -> None:
    steps = """  - draw: {values: [a, b], writes: kind}
  - generate: {name: one, engine: m, when: kind == "a", prompt: hi}
  - generate: {name: two, engine: m, when: 'kind == "a" and other', prompt: hi}
  - generate: {name: three, engine: m, when: kind == 'b', prompt: hi}
  - generate: {name: any, engine: m, when: 'kind == "b" or other', prompt: hi}
"""
    assert both(count(steps)) == (0, 3)
    again = steps + "  - draw: {name: again, values: [a, b], writes: kind}\n"
    assert both(count(again + '  - generate: {name: four, engine: m, when: kind == "b", prompt: hi}\n')) == (0, 4)


def test_random_samples_and_limits_reduce_the_calls_of_a_run(count: Count) -> None:
    steps = """  - generate: {name: first, engine: m, prompt: hi}
  - sample: 0.25
  - generate: {name: second, engine: m, prompt: hi}
  - limit: 30
  - generate: {name: third, engine: m, prompt: hi}
  - hook: {engine: m, images: false, n: 2}
  - generate: {name: fourth, engine: m, prompt: hi}
  - top: {count: 10, highest: a}
  - generate: {name: fifth, engine: m, prompt: hi}
"""
    calls = [(step.name, step.in_run(1000).most) for step in count(steps)]
    assert calls == [("first", 1000), ("second", 250), ("third", 30), ("hook", 60), ("fourth", 60), ("fifth", 10)]
    assert count(steps)[2].in_run(40).most == 10, "fewer records than the limit"


def test_ranges() -> None:
    assert Range(1, 2).plus(Range(0, None)) == Range(1, None)
    assert Range(1, 2).times(Range(3, 4)) == Range(3, 8)
    assert Range(0, None).times(NONE) == NONE
    assert Range(2, None).up_to(5) == Range(2, 5)
    assert Range(7, 9).up_to(5) == Range(5, 5)
    assert Range(1, 2).joined(Range(0, 1)) == Range(0, 2)
    assert ONE.joined(UNKNOWN) == UNKNOWN
    assert Amount() == Amount(ONE, None)
    for bounds in ((-1, 2), (3, 2)):
        with pytest.raises(ValueError, match="not a range"):
            Range(*bounds)


PLUGIN = """
from mminf.step import Amount, Context, Outcome, Range, Record, Step, StepConfig, step

class VoteConfig(StepConfig):
    engine: str
    writes: str = "votes"

@step("vote_of_three")
class Vote(Step[VoteConfig]):
    \"\"\"Asks three times.\"\"\"

    @property
    def calls_per_record(self) -> Amount:
        return Amount(Range.of(3))

    def list_lengths(self, known):
        return {self.config.writes: Range.of(3)}

    async def run(self, record: Record, ctx: Context) -> Outcome:
        return {self.config.writes: [1, 2, 3]}
"""


def test_a_step_of_a_plugin_declares_its_calls(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    (tmp_path / "vote.py").write_text(PLUGIN)
    steps = "  - vote_of_three: {engine: m}\n  - check: {engine: m, for_each: votes, prompt: hi}\nsinks: [{jsonl: o.jsonl}]\n"
    loaded = api.load(write_recipe("plugins: vote.py\n" + HEAD + steps))
    assert both(count_calls(loaded.steps)) == (6, 6)
    assert "calls per record: at most 6 (at least 6; more if calls are retried)" in api.describe_plan(loaded)
