"""The plan of a run: its stages, which steps wait for which, and what its results depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from mminf.engine.engines import Engine
from mminf.errors import Problem, RecipeError, nearest
from mminf.image import stat_image
from mminf.marks import marks_digest, read_marks
from mminf.recipe.dataflow import (
    Check,
    Stage,
    dependencies,
    fields_left,
    input_fields,
    is_own_setting,
    order_steps,
    push_down,
    split_stages,
    undecided_reads,
    undefined_reads,
)
from mminf.recipe.doubtful import may_write
from mminf.recipe.model import Recipe
from mminf.record import Fields, Record, digest
from mminf.sink.base import Sink
from mminf.step.base import AnyStep
from mminf.storage import to_path
from mminf.template import Expression

_WITH_COLUMNS = ("jsonl", "json", "csv", "parquet", "dataset")
"""Sources of rows."""
READING = 4
"""Version of the parsers. If it increases, outcomes are computed again from the answers in the memo."""


@dataclass(frozen=True, slots=True)
class StageCheck:
    """A condition of a gate that is tested early; see `dataflow.Check`.

    Attributes:
        number: position among the stage's checks.
        gate: the step that it belongs to.
        after: bit mask of the steps that it waits for.
        position: the step before which a record ends if the condition is false.
    """

    number: int
    gate: int
    after: int
    position: int
    condition: Expression


@dataclass(frozen=True)
class StagePlan:
    """One stage of a run.

    Attributes:
        index: position among the stages.
        steps: the stage's steps, in the order with the fewest changes of engine (`dataflow.order_steps`).
        names: their names, in list order.
        waits: for each step, a bit mask of the steps of this stage that it waits for.
        fingerprint: digest of everything that the stage's results depend on, except the record.
        checks: conditions that are tested early; none if the recipe has `early_drop: false`.
        calls: positions of the steps that call an engine.
    """

    index: int
    steps: tuple[AnyStep, ...]
    waits: tuple[int, ...]
    dataset: bool
    fingerprint: str
    names: tuple[str, ...] = ()
    checks: tuple[StageCheck, ...] = ()

    @cached_property
    def calls(self) -> frozenset[int]:
        return frozenset(number for number, step in enumerate(self.steps) if step.engine is not None)

    def key(self, record: Record, retries: Mapping[tuple[str, str], int]) -> str:
        """Returns the key of a record's outcome: it is computed again only when this changes.

        The key contains size and modification time of images; the keys of the memo contain their digests.
        """
        named = record.get("images")
        images = [stat_image(uri) for uri in named if isinstance(uri, str)] if isinstance(named, list) else []
        counts = {step.name: retries.get((record.id, step.name), 0) for step in self.steps} if retries else {}
        retried = {name: count for name, count in counts.items() if count}
        return digest([self.fingerprint, record.fields, images, retried])


@dataclass(frozen=True, slots=True)
class RunPlan:
    """The plan of a run.

    Attributes:
        limit: number of records of the source that are taken; None: all.
        force: replace files that mminf did not write, datasets of another recipe, and datasets with
            more rows.
        digest: digest of the resolved recipe, of the limit, and of the source's marks; runs with the same digest belong
            together.
    """

    recipe: Recipe
    stages: tuple[StagePlan, ...]
    digest: str
    limit: int | None = None
    force: bool = False

    @property
    def last(self) -> StagePlan:
        """The stage whose records are the result."""
        return self.stages[-1]

    @property
    def names(self) -> list[list[str]]:
        """Names of the steps of each stage."""
        return [list(stage.names) for stage in self.stages]

    @property
    def barrier(self) -> str | None:
        """The first step over all records, if models are called from there on; estimates reach up to it."""
        for number, stage in enumerate(self.stages):
            if stage.dataset:
                return stage.names[0] if any(later.calls for later in self.stages[number:]) else None
        return None

    @property
    def target(self) -> int | None:
        """Number of accepted records at which the run stops; None: it takes all records."""
        return self.recipe.run.target


def make_plan(
    recipe: Recipe, engines: Mapping[str, Engine], *, limit: int | None = None, force: bool = False
) -> RunPlan:
    """Returns the plan of a run.

    Args:
        engines: engines of the recipe, by name.
        limit: overrides the recipe's limit.
    """
    limit = recipe.run.limit if limit is None else limit
    identity = digest([_without_bounds(recipe), limit, *_marks_of(recipe)])
    return RunPlan(recipe, plan_stages(recipe, engines), identity, limit, force)


def _marks_of(recipe: Recipe) -> list[str]:
    """Returns the digest of the source's marks, if it has any. `Run.check` reports a file that can't be read."""
    if recipe.source is None or recipe.source.config.marks is None:
        return []
    path = to_path(recipe.source.config.marks, recipe.path.parent).expanduser()
    return [marks_digest(read_marks(path, problems=[]))]


def _without_bounds(recipe: Recipe) -> Fields:
    """Returns the recipe without prices and the limits at which a run stops: with others, the same run is resumed."""
    found = {key: value for key, value in recipe.resolved().items() if key not in ("budget", "max_same_failures")}
    found["engines"] = {name: {**config, "price": None} for name, config in found["engines"].items()}
    return found


def plan_stages(recipe: Recipe, engines: Mapping[str, Engine]) -> tuple[StagePlan, ...]:
    """Returns the stages of a recipe."""
    waits = dependencies(recipe.steps)
    stages = enumerate(split_stages(recipe.steps))
    return tuple(_plan_stage(recipe, index, stage, waits, engines) for index, stage in stages)


def _plan_stage(
    recipe: Recipe, index: int, stage: Stage, waits: Sequence[frozenset[int]], engines: Mapping[str, Engine]
) -> StagePlan:
    steps = recipe.steps
    # Engines with equal settings share one model; engines on servers need no local model.
    models = {name: str(id(engine)) if engine.backend.local else None for name, engine in engines.items()}
    order = order_steps(steps, waits, stage, models)
    checks: list[Check] = []
    if recipe.run.early_drop:
        waits, checks = push_down(steps, waits, stage, order)
    place = {step: number for number, step in enumerate(order)}

    def mask(waited: frozenset[int]) -> int:
        return sum(1 << place[step] for step in waited if step >= stage.start)

    return StagePlan(
        index=index,
        steps=tuple(steps[step] for step in order),
        waits=tuple(mask(waits[step]) for step in order),
        dataset=stage.dataset,
        fingerprint=_fingerprint(recipe, stage, engines, order),
        names=tuple(step.name for step in steps[stage.start : stage.stop]),
        checks=tuple(
            StageCheck(
                number,
                place[check.gate],
                mask(check.after),
                max((place[step] + 1 for step in check.after), default=0),
                check.condition,
            )
            for number, check in enumerate(checks)
        ),
    )


def check_fields(recipe: Recipe, columns: frozenset[str] | None, sinks: Sequence[Sink]) -> None:
    """Raises RecipeError with the problems that `find_field_problems` finds, if there are any."""
    if problems := find_field_problems(recipe, columns, sinks):
        raise RecipeError(problems)


def find_field_problems(recipe: Recipe, columns: frozenset[str] | None, sinks: Sequence[Sink]) -> list[Problem]:
    """Returns a problem for each field that is read, but is not decided, or not provided by the source or a step.

    Args:
        columns: fields of the source; None if they are not known.
    """
    problems = undecided_reads(recipe.steps, recipe.places)
    problems += undefined_reads(recipe.steps, columns, recipe.places)
    if columns is not None:
        problems += _renaming(recipe, columns)
        left = fields_left(recipe.steps, columns)
        ever = columns.union(*map(may_write, recipe.steps))
        for sink in sinks:
            for name in sorted(sink.missing(left if sink.config.dropped_by is None else ever)):
                message = f"writes field {name!r}, but no step and no column provides it"
                problems.append(Problem(f"sink {sink.config.path}", message))
        by = recipe.run.split.stratify if recipe.run.split is not None else None
        if by is not None and by not in left:
            known = columns.union(*(step.writes for step in recipe.steps)) & left
            message = f"stratify: no step and no column provides {by!r}{nearest(by, known)}"
            problems.append(Problem("split", message))
    return problems


def _renaming(recipe: Recipe, columns: frozenset[str]) -> list[Problem]:
    """Returns how columns of an input are renamed, if it has columns and lacks fields that nothing else provides."""
    ever = columns.union(*map(may_write, recipe.steps))
    settings = {name for step in recipe.steps for name in step.reads if is_own_setting(step, name)}
    missing = [name for name in input_fields(recipe.steps) if name not in ever | settings | {"images"}]
    kind = recipe.source.type if recipe.source is not None else ""
    if not missing or kind not in _WITH_COLUMNS or not columns - {"id", "images"}:
        return []
    setting = ", ".join(f"{name}: COLUMN" for name in missing)
    found = ", ".join(sorted(columns - {"id", "images"}))
    message = f"if a column has another name ({found}): --set 'source.{kind}.columns={{{setting}}}'"
    return [Problem("input", message)]


def _fingerprint(recipe: Recipe, stage: Stage, engines: Mapping[str, Engine], order: Sequence[int]) -> str:
    steps = recipe.steps[stage.start : stage.stop]
    used = sorted({step.engine for step in steps if step.engine is not None})
    identities = {name: engines[name].identity for name in used}
    # The scores of a dropped record depend on the order in which they are computed.
    asked = [recipe.run.early_drop, [step - stage.start for step in order]]
    return digest([READING, recipe.run.seed, asked, [step.describe() for step in steps], identities])
