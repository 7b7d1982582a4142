"""Counts the calls of a recipe, before it is run, from what its steps declare."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mminf.cost.amount import NONE, ONE, UNKNOWN, Amount, Range

_CASE = re.compile(r"""\s*(?P<field>\w+)\s*==\s*(?P<quote>["'])(?P<value>[^"']*)(?P=quote)(?P<more>(?:\s+and\s.*)?)""")
"""A condition `field == "value"`, alone or with others that must be true as well."""


class CountedStep(Protocol):
    """The parts of a step that determine how many calls a recipe makes."""

    @property
    def name(self) -> str: ...
    @property
    def engine(self) -> str | None: ...
    @property
    def writes(self) -> frozenset[str]: ...
    @property
    def removes(self) -> frozenset[str]: ...
    @property
    def condition(self) -> object | None: ...
    @property
    def optional(self) -> bool: ...
    @property
    def calls_per_record(self) -> Amount: ...
    @property
    def children_per_record(self) -> Amount: ...
    @property
    def kept_share(self) -> float: ...
    @property
    def most_records(self) -> int | None: ...
    def list_lengths(self, known: Mapping[str, Range]) -> Mapping[str, Range]: ...


@dataclass(frozen=True, slots=True)
class StepCalls:
    """The calls of one step, without retries.

    Attributes:
        records: records that reach the step per record of the source, if no record is dropped.
        amount: its calls per record or item, as it declares them; with a `when`, from 0.
        each: its calls per record that reaches it.
        share: share of the records that random sampling leaves, on average.
        most_records: maximum number of records that reach the step, in the whole run; None: no limit.
        list_field: the list of unknown length that the number of calls depends on, or None.
        case: of a step with `when: FIELD == "value"`: the field, how often it was written before, and the value.
            A record makes the calls of one value only.
    """

    name: str
    engine: str
    records: Range
    amount: Amount
    each: Range
    share: float = 1.0
    most_records: int | None = None
    list_field: str | None = None
    case: tuple[str, int, str] | None = None

    @property
    def calls(self) -> Range:
        """The calls per record of the source."""
        return self.records.times(self.each)

    def in_run(self, records: float) -> Range:
        """Returns the calls in a run over a number of records, if only steps like `sample` and `limit` drop any."""
        reached = self.records.times(Range.of(records * self.share))
        if self.most_records is not None:
            reached = reached.up_to(self.most_records)
        return reached.times(self.each)


def count_calls(steps: Iterable[CountedStep]) -> list[StepCalls]:
    """Returns the calls of the steps that call an engine, in list order."""
    found: list[StepCalls] = []
    lengths: dict[str, Range] = {}
    records, share, limit = ONE, 1.0, None
    split_field: str | None = None
    written: Counter[str] = Counter()
    for step in steps:
        if step.engine is not None:
            amount = step.calls_per_record
            if step.condition is not None:
                amount = Amount(amount.number.or_less(), amount.items)
            each = resolve(amount, lengths)
            field = amount.items if each.most is None else split_field
            case = _case(step.condition, written)
            found.append(StepCalls(step.name, step.engine, records, amount, each, share, limit, field, case))
        children = resolve(step.children_per_record, lengths)
        if children.most is None:
            split_field = step.children_per_record.items or step.name
        if step.optional:
            children = children.joined(ONE)
        records, share = records.times(children), share * step.kept_share
        if limit is not None:
            limit = None if children.most is None else int(limit * children.most)
        if step.most_records is not None:
            limit = step.most_records if limit is None else min(limit, step.most_records)
        lengths = _lengths_after(step, lengths)
        written.update(step.writes)
    return found


def _case(condition: object | None, written: Counter[str]) -> tuple[str, int, str] | None:
    found = _CASE.fullmatch(str(getattr(condition, "source", "")))
    if found is None or " or " in found["more"] or " if " in found["more"]:
        return None
    return (found["field"], written[found["field"]], found["value"])


def most_calls(steps: Sequence[StepCalls], calls: Sequence[Range]) -> float | None:
    """Returns the maximum sum of calls: of steps for different values of one field, those of one value count.

    Args:
        calls: calls of each step.
    """
    always = total(item for step, item in zip(steps, calls, strict=True) if step.case is None).most
    cases: dict[tuple[str, int], dict[str, Range]] = {}
    for step, item in zip(steps, calls, strict=True):
        if step.case is not None:
            values = cases.setdefault(step.case[:2], {})
            values[step.case[2]] = values.get(step.case[2], NONE).plus(item)
    for values in cases.values():
        highest = max((item.most for item in values.values()), key=lambda most: float("inf") if most is None else most)
        always = None if always is None or highest is None else always + highest
    return always


def total(calls: Iterable[Range]) -> Range:
    """Returns the sum of ranges."""
    whole = NONE
    for item in calls:
        whole = whole.plus(item)
    return whole


def resolve(amount: Amount, lengths: Mapping[str, Range]) -> Range:
    """Returns an amount per record.

    Args:
        lengths: lengths of list fields, as far as they are known.
    """
    return amount.number if amount.items is None else amount.number.times(lengths.get(amount.items, UNKNOWN))


def _lengths_after(step: CountedStep, known: Mapping[str, Range]) -> dict[str, Range]:
    """Returns the lengths of lists after a step; those that it writes without declaring their lengths are unknown."""
    made = step.list_lengths(known)
    changed = step.writes | step.removes
    after = {name: length for name, length in known.items() if name not in changed}
    for name, length in made.items():
        if not step.optional:
            after[name] = length
        elif name in known:  # records that skip the step keep the list that they have
            after[name] = length.joined(known[name])
    return after
