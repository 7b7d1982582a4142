"""Dependencies between steps, and their order: from the fields, gates and engines of the steps."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mminf.errors import Problem, nearest
from mminf.recipe.doubtful import Doubtful, may_write
from mminf.recipe.model import StepLike
from mminf.template import Expression

MOST_STATES = 2000
UNDECIDED = "DECIDE_"
"""Prefix of the fields that `mminf convert` writes in place of what a person has to decide."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Steps between two barriers.

    Attributes:
        start, stop: the steps are `steps[start:stop]`.
        dataset: the stage is one step that sees all records.
    """

    start: int
    stop: int
    dataset: bool


def dependencies(steps: Sequence[StepLike]) -> list[frozenset[int]]:
    """Returns for each step the earlier steps that it depends on.

    A step depends on the writers of the fields that it reads, on the readers and writers of the fields that it writes
    (a later step may overwrite a field), and on every earlier gate: a step that may drop a record or fan it out.
    """
    waits: list[frozenset[int]] = []
    for index, step in enumerate(steps):
        waits.append(
            frozenset(
                before
                for before, earlier in enumerate(steps[:index])
                if earlier.gate
                or earlier.dataset
                or step.dataset
                or step.uses & earlier.writes
                or step.writes & (earlier.writes | earlier.uses)
            )
        )
    return waits


def split_stages(steps: Sequence[StepLike]) -> list[Stage]:
    """Returns the stages: consecutive record steps, and each dataset step alone. Without steps: one empty stage."""
    stages: list[Stage] = []
    start = 0
    for index, step in enumerate(steps):
        if step.dataset:
            if index > start:
                stages.append(Stage(start, index, dataset=False))
            stages.append(Stage(index, index + 1, dataset=True))
            start = index + 1
    if start < len(steps) or not stages:
        stages.append(Stage(start, len(steps), dataset=False))
    return stages


@dataclass(frozen=True, slots=True)
class Check:
    """A condition of a gate that is tested before the record reaches the gate.

    Attributes:
        gate: index of the step that the condition belongs to.
        after: steps that must be done first, because they write the fields that the condition reads.
    """

    gate: int
    after: frozenset[int]
    condition: Expression


def order_steps(
    steps: Sequence[StepLike],
    waits: Sequence[frozenset[int]],
    stage: Stage,
    models: Mapping[str, str | None] | None = None,
) -> list[int]:
    """Returns a stage's steps in the order that needs the fewest model changes if one model is loaded at a time.

    The order depends on the recipe alone, not on the loaded models. Results that depend on the order (for example which
    score is the first to drop a record) are therefore the same on every machine. Ties are resolved by list order, but
    of neighbouring calls that only judge a record, those without images come first: they cost least. A gate comes after
    all steps before it in the list, because its children inherit their fields.

    Args:
        models: engine -> model that it needs, or None if it needs no local model; by default the engine's own name.
    """
    names = [step.engine for step in steps[: stage.stop]]
    needs = [name if name is None or models is None else models[name] for name in names]
    waits = [frozenset(range(step)) if steps[step].gate else waited for step, waited in enumerate(waits[: stage.stop])]
    rules = _Rules(text_first(steps, stage), waits, needs)
    before = frozenset(range(stage.start))
    # Breadth first: the first order found that contains all steps has the fewest changes. With very many models this
    # takes too long, so the search continues greedily.
    queue: deque[tuple[int, ...]] = deque([rules.advance(before, (), None)])
    seen: set[tuple[frozenset[int], str | None]] = set()
    while len(order := queue.popleft()) < len(rules.here):
        done = before | frozenset(order)
        for model in rules.models(done)[: None if len(seen) < MOST_STATES else 1]:
            longer = rules.advance(done, order, model)
            if (key := (frozenset(longer), model)) not in seen:
                seen.add(key)
                queue.append(longer) if len(seen) < MOST_STATES else queue.appendleft(longer)
    return list(order)


def text_first(steps: Sequence[StepLike], stage: Stage) -> list[int]:
    """Returns a stage's steps in list order, but of neighbouring judges those that show no image first.

    A judge is a call whose fields a gate's condition reads: if it drops the record, the calls after it are not made.
    """
    read_later = frozenset[str]()
    judges: set[int] = set()
    for index in reversed(range(stage.start, stage.stop)):
        if steps[index].engine is not None and steps[index].writes & read_later:
            judges.add(index)
        read_later = read_later.union(*(check.reads for check in steps[index].checks))
    order: list[int] = []
    for judging, group in itertools.groupby(range(stage.start, stage.stop), judges.__contains__):
        neighbours = list(group)
        order += sorted(neighbours, key=lambda index: "images" in steps[index].reads) if judging else neighbours
    return order


@dataclass(frozen=True, slots=True)
class _Rules:
    """What an order of a stage's steps must obey.

    Attributes:
        here: the stage's steps, those that should come first first.
        waits: for each step of the recipe the steps that come before it.
        needs: for each step the model that it needs, if any.
    """

    here: Sequence[int]
    waits: Sequence[frozenset[int]]
    needs: Sequence[str | None]

    def advance(self, done: frozenset[int], order: tuple[int, ...], model: str | None) -> tuple[int, ...]:
        """Returns an order with all steps that can follow it while one model is loaded."""
        moved = True
        while moved:
            moved = False
            for step in self.here:
                if step not in done and self.waits[step] <= done and self.needs[step] in (None, model):
                    done, order, moved = done | {step}, (*order, step), True
        return order

    def models(self, done: frozenset[int]) -> list[str | None]:
        """Returns the models of the steps that can come next, in list order."""
        ready = [step for step in self.here if step not in done and self.waits[step] <= done]
        return list(dict.fromkeys(self.needs[step] for step in ready))


def push_down(
    steps: Sequence[StepLike], waits: Sequence[frozenset[int]], stage: Stage, order: Sequence[int]
) -> tuple[list[frozenset[int]], list[Check]]:
    """Tests the conditions of gates early, so that a record that will be dropped starts no further call.

    A check is tested when the steps that write its fields are done, and all gates before its own. The calls before such
    a gate run one after the other, in `order`, so that the outcome does not depend on which answer arrives first.

    Returns:
        The dependencies of each step of the recipe, and the checks in the order in which they are tested.
    """
    extended = list(waits)
    checks: list[Check] = []
    begin = stage.start
    for gate in range(stage.start, stage.stop):
        step = steps[gate]
        if not step.gate:
            continue
        earlier = frozenset(index for index in range(stage.start, gate) if steps[index].gate)
        condition = getattr(step, "condition", None)
        for check in step.checks:
            reads = check.reads | (condition.reads if condition is not None else frozenset())
            writers = (index for index in range(stage.start, gate) if steps[index].writes & reads)
            checks.append(Check(gate, earlier.union(writers), check))
        if step.checks:
            calls = [index for index in order if begin <= index < gate and steps[index].engine is not None]
            for one, other in itertools.pairwise(calls):
                extended[other] |= {one}
        begin = gate + 1
    return extended, checks


def input_fields(steps: Sequence[StepLike]) -> list[str]:
    """Returns the fields that steps read before any step writes them, in the order of their first use."""
    written: set[str] = set()
    found: dict[str, None] = {}
    for step in steps:
        found |= dict.fromkeys(sorted(step.reads - written))
        written |= step.writes
    return list(found)


def overwritten(steps: Sequence[StepLike], columns: frozenset[str]) -> dict[str, str]:
    """Returns the columns of the input that steps overwrite, each with the name of the step.

    A step that reads the field that it writes (a clean-up, a translation) is meant to change it.
    """
    found: dict[str, str] = {}
    read: set[str] = set()
    for step in steps:
        read |= step.uses
        found |= {name: step.name for name in sorted(step.writes & columns - read) if name not in found}
    return found


def undecided_reads(steps: Sequence[StepLike], places: Mapping[str, str]) -> list[Problem]:
    """Returns a problem for each field that `mminf convert` left undecided. `places` as in `undefined_reads`."""
    return [
        Problem(
            places.get(step.name, "recipe"),
            f"step {step.name!r} reads {name!r}, which is not decided yet; see the DECIDE comments in the recipe",
        )
        for step in steps
        for name in sorted(step.uses - _decided(step.uses))
    ]


def _decided(names: frozenset[str]) -> frozenset[str]:
    return frozenset(name for name in names if not name.startswith(UNDECIDED))


def undefined_reads(
    steps: Sequence[StepLike], columns: frozenset[str] | None, places: Mapping[str, str] | None = None
) -> list[Problem]:
    """Returns a problem for each field that a step reads and nothing provides, with the other steps that read it.

    Args:
        columns: the fields that the source provides, or None if they are known only when it is read.
        places: `file:line` of each step, by name.
    """
    known = set(columns or ())
    possible: set[str] = set()
    problems = []
    lacking: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    removed: dict[str, str] = {}
    for step in steps:
        where = (places or {}).get(step.name, "recipe")
        for name in sorted(step.reads & removed.keys()):
            message = (
                f"step {step.name!r} reads field {name!r}, which step {removed[name]!r} removes; set `keep: true` there"
            )
            problems.append(Problem(where, message))
        for name in sorted(_decided(step.reads) - known - possible - removed.keys()) if columns is not None else ():
            why, hint = _why_missing(name, step, steps, known)
            lacking.setdefault((name, why), []).append((step.name, where, hint))
        removed |= dict.fromkeys(step.removes, step.name)
        known = (known - step.removes) | step.writes
        possible |= may_write(step) - step.writes
        removed = {name: by for name, by in removed.items() if name not in may_write(step)}
    for (name, why), ((reader, where, hint), *others) in lacking.items():
        listed = ", ".join(repr(other) for other, *_ in others)
        also = f" (also step{'' if len(others) == 1 else 's'} {listed})" if others else ""
        problems.append(Problem(where, f"step {reader!r} reads field {name!r}, but {why}{hint}{also}"))
    return problems


def _why_missing(name: str, reader: StepLike, steps: Sequence[StepLike], known: set[str]) -> tuple[str, str]:
    """Returns why a step can't read a field, and a hint: the closest field, or all if all are known for certain."""
    writers = [step for step in steps if name in may_write(step) and step is not reader]
    later = next((step.name for step in writers if not isinstance(step, Doubtful)), None)
    if later is not None:
        return f"the input does not have it, and step {later!r}, which writes it, comes later", ""
    found = nearest(name, known)
    if "did you mean" not in found and any(isinstance(step, Doubtful) for step in steps):
        found = ""
    if writers:
        return "no earlier step provides it", found
    if is_own_setting(reader, name):
        found += "; it is a setting of this step, and a prompt shows the settings that the step's `constants` returns"
    return "nothing provides it", found + ("; `images: false` shows the text only" if name == "images" else "")


def is_own_setting(step: StepLike, name: str) -> bool:
    """Returns whether a name is a setting of a plugin's step."""
    return getattr(step, "code", None) is not None and name in getattr(type(step.config), "model_fields", {})


def fields_left(steps: Sequence[StepLike], columns: frozenset[str]) -> frozenset[str]:
    """Returns the fields of a record after all steps, or those that it may have if steps have problems."""
    for step in steps:
        columns = (columns - step.removes) | may_write(step)
    return columns
