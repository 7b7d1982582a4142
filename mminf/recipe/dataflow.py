"""Which step waits for which: the order that the fields and the gates of a recipe ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mminf.errors import Problem, nearest
from mminf.recipe.model import StepLike


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
    """Returns for each step the earlier steps that it waits for.

    A step waits for the writers of what it reads, for readers and writers of what it writes (a later step may
    overwrite a field), and for every earlier gate: a step that may drop a record or fan it out.
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
                or step.reads & earlier.writes
                or step.writes & (earlier.writes | earlier.reads)
            )
        )
    return waits


def split_stages(steps: Sequence[StepLike]) -> list[Stage]:
    """Returns the stages: runs of record steps, and each dataset step by itself."""
    stages: list[Stage] = []
    start = 0
    for index, step in enumerate(steps):
        if step.dataset:
            if index > start:
                stages.append(Stage(start, index, dataset=False))
            stages.append(Stage(index, index + 1, dataset=True))
            start = index + 1
    if start < len(steps):
        stages.append(Stage(start, len(steps), dataset=False))
    return stages


def undefined_reads(
    steps: Sequence[StepLike], columns: frozenset[str] | None, places: Mapping[str, str] | None = None
) -> list[Problem]:
    """Returns a problem for each field that a step reads though nothing provides it.

    Args:
        columns: the fields that the source provides, or None where they are known only once it is read.
        places: where each step stands, by name.
    """
    if columns is None:
        return []
    known = set(columns)
    problems = []
    for step in steps:
        where = (places or {}).get(step.name, "recipe")
        for name in sorted(step.reads - known):
            later = next((other.name for other in steps if name in other.writes), None)
            hint = (
                f"step {later!r} writes it, but comes later" if later else f"nothing provides it{nearest(name, known)}"
            )
            problems.append(Problem(where, f"step {step.name!r} reads field {name!r}, but {hint}"))
        known |= step.writes
    return problems
