"""A recipe made ready to run: its stages, what waits for what, and what its results depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mminf.engine.engines import Engine
from mminf.errors import Problem, RecipeError
from mminf.image import stat_image
from mminf.recipe.dataflow import Stage, dependencies, split_stages, undefined_reads
from mminf.recipe.model import Recipe
from mminf.record import Record, digest


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage of a run.

    Attributes:
        index: position among the stages.
        steps: the stage's steps.
        waits: for each step, a bit mask of the steps of this stage that it waits for.
        fingerprint: digest of all that the stage's results depend on beside the record.
    """

    index: int
    steps: Sequence[Any]
    waits: tuple[int, ...]
    dataset: bool
    fingerprint: str

    def key(self, record: Record, retries: Mapping[tuple[str, str], int]) -> str:
        """Returns the key of a record's outcome: it is computed again only when this changes.

        Images count by size and modification time here; the memo's own keys hold their digests.
        """
        named = record.get("images")
        images = [stat_image(uri) for uri in named if isinstance(uri, str)] if isinstance(named, list) else []
        counts = {step.name: retries.get((record.id, step.name), 0) for step in self.steps} if retries else {}
        retried = {name: count for name, count in counts.items() if count}
        return digest([self.fingerprint, record.fields, images, retried])


def make_plan(recipe: Recipe, engines: Mapping[str, Engine]) -> list[StagePlan]:
    """Returns the stages of a recipe."""
    waits = dependencies(recipe.steps)
    return [
        StagePlan(
            index=index,
            steps=recipe.steps[stage.start : stage.stop],
            waits=tuple(_mask(waits[step], stage) for step in range(stage.start, stage.stop)),
            dataset=stage.dataset,
            fingerprint=_fingerprint(recipe, stage, engines),
        )
        for index, stage in enumerate(split_stages(recipe.steps))
    ]


def check_fields(recipe: Recipe, columns: frozenset[str] | None, sinks: Sequence[Any]) -> None:
    """Checks that every field that is read is provided by the source or by an earlier step.

    Raises:
        RecipeError: naming every field that is not.
    """
    problems = undefined_reads(recipe.steps, columns, recipe.places)
    if columns is not None:
        written = frozenset().union(*(step.writes for step in recipe.steps)) | columns
        for sink in sinks:
            for name in sorted(sink.reads - written):
                problems.append(
                    Problem(f"sink {sink.config.path}", f"writes field {name!r}, but no step and no column provides it")
                )
    if problems:
        raise RecipeError(problems)


def _mask(waits: frozenset[int], stage: Stage) -> int:
    return sum(1 << (index - stage.start) for index in waits if index >= stage.start)


def _fingerprint(recipe: Recipe, stage: Stage, engines: Mapping[str, Engine]) -> str:
    steps = recipe.steps[stage.start : stage.stop]
    used = sorted({step.engine for step in steps if step.engine is not None})
    return digest(
        [recipe.run.seed, [step.describe() for step in steps], {name: engines[name].identity for name in used}]
    )
