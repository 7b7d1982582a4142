"""Describes how many calls a recipe makes, as far as it determines them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mminf.cost import NONE, Range
from mminf.cost.recipe import StepCalls, count_calls, most_calls, total
from mminf.engine.peek import InputCount
from mminf.engine.plan import StagePlan
from mminf.layout import amount
from mminf.recipe.model import Recipe

_LATER_ROUND = re.compile(r"(?P<name>.+)\.(?P<round>\d+)")
"""Name of a step in a later round of a `repeat`."""


def split_round(name: str) -> tuple[str, int]:
    """Returns the name of a step in a recipe, and the number of its round in a `repeat`."""
    found = _LATER_ROUND.fullmatch(name)
    return (name, 1) if found is None else (found["name"], int(found["round"]))


def calls_text(recipe: Recipe, plan: Sequence[StagePlan], given: InputCount | None = None) -> list[str]:
    """Returns lines with the calls of each step per record, and in a run over an input.

    Args:
        given: the input, if it was counted.
    """
    counted = count_calls(recipe.steps)
    lines = [f"calls per record: at most {_at_most(counted)} ({_notes(counted, plan)})"]
    records = given.records if given is not None else None
    if given is not None:
        what = amount(records, "record") if records is not None else f"the number of records is unknown: {given.reason}"
        lines.append(f"input: {what}")
    if not counted:
        return lines
    groups = _by_name(counted)
    width = max(len(name) for name in groups) + 2
    beside = max(len(steps[0].engine) for steps in groups.values()) + 2
    lines += ["", "calls without retries" + (" (per record; in the run)" if records is not None else " (per record)")]
    for name, steps in groups.items():
        line = f"  {name:{width}}{steps[0].engine:{beside}}{_per_record(steps)}"
        if records is not None:
            line = f"{line:{width + beside + 26}}{_in_run(steps, records)}"
        lines.append(line.rstrip())
    if records is not None:
        lines.append(f"  {'total':{width + beside + 24}}{_in_run(counted, records)}")
    if recipe.run.target is not None:
        lines.append(f"  the run stops before that if the number of accepted records is {recipe.run.target:,}")
    return lines


def most_calls_text(recipe: Recipe) -> str:
    """Returns the maximum number of calls per record, as text."""
    counted = count_calls(recipe.steps)
    return f"at most {_at_most(counted)}" if counted else "none"


def _by_name(counted: Iterable[StepCalls]) -> dict[str, list[StepCalls]]:
    """Returns the steps by their name in the recipe, which those of several rounds share."""
    found: dict[str, list[StepCalls]] = {}
    for step in counted:
        found.setdefault(split_round(step.name)[0], []).append(step)
    return found


def _per_record(steps: Sequence[StepCalls]) -> str:
    first = steps[0]
    rounds = f" in {len(steps)} rounds" if len(steps) > 1 else ""
    if total(step.each for step in steps).most is None:
        return f"{_range(first.amount.number)} per item of `{first.list_field}`{rounds}"
    return f"{_range(total(step.each for step in steps))}{rounds}"


def _in_run(steps: Sequence[StepCalls], records: int) -> str:
    most = most_calls(steps, [step.in_run(records) for step in steps])
    return "unknown" if most is None else f"at most {most:,.0f}"


def _range(number: Range) -> str:
    if number.most is None:
        return f"at least {number.least:g}"
    return f"{number.least:g}" if number.exact else f"{number.least:g} to {number.most:g}"


def _at_most(counted: Sequence[StepCalls]) -> str:
    """Returns the maximum number of calls per record; a sum if it depends on lists of unknown length."""
    limited = [step for step in counted if step.calls.most is not None]
    known = most_calls(limited, [step.calls for step in limited])
    per_item: dict[str, Range] = {}
    for step in counted:
        if step.calls.most is None:
            name = step.list_field or step.name
            each = step.amount.number if step.each.most is None else step.each
            per_item[name] = per_item.get(name, NONE).plus(each)
    terms = [f"{known:g}"] if known or not per_item else []
    terms += [
        f"{each.most:g} per item of `{name}`" if each.most is not None else f"the items of `{name}`"
        for name, each in per_item.items()
    ]
    return " + ".join(terms)


def _notes(counted: Sequence[StepCalls], plan: Sequence[StagePlan]) -> str:
    certain = _certain(counted, plan[0])
    first = f"at least {certain:g}" if certain else "none is certain"
    return f"{first}; more if calls are retried"


def _certain(counted: Iterable[StepCalls], stage: StagePlan) -> float:
    """Returns the number of calls before a step or a condition that may drop the record."""
    by_name = {step.name: step for step in counted}
    end = min([check.position for check in stage.checks], default=len(stage.steps))
    calls = 0.0
    for number, step in enumerate(stage.steps):
        if number >= end:
            break
        if step.name in by_name:
            calls += by_name[step.name].calls.least
        if step.gate:
            break
    return calls
