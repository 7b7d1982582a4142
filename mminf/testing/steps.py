"""Runs a step on records, without a recipe."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mminf.errors import RecordError
from mminf.plugin import discover
from mminf.recipe.model import TemplateFolders
from mminf.recipe.wrap import wrap_step
from mminf.record import Json, Record
from mminf.registry import STEPS
from mminf.step.base import AnyStep, DatasetStep, Outcome, Step
from mminf.step.context import Context, Gateway
from mminf.step.outcome import check_outcome, check_place, dataset_outcomes, no_outcome, tell_drop
from mminf.testing.stub import Answers, StubGateway


def make_step(
    step: str | type[AnyStep], config: Mapping[str, object] | None = None, *, templates: Sequence[Path] = ()
) -> AnyStep:
    """Returns a step, as a recipe would create it.

    Args:
        step: the name that recipes use, or the class.
        config: its options.
        templates: folders with its prompts.

    Raises:
        PluginError: if there is no step with that name.
        pydantic.ValidationError: if an option is wrong.
    """
    discover()
    kind: type[AnyStep] = STEPS.get(step) if isinstance(step, str) else step
    made: AnyStep = wrap_step(kind(kind.Config.model_validate(dict(config or {})), TemplateFolders(list(templates))))
    return made


def run_step(
    step: str | type[AnyStep] | AnyStep,
    config: Mapping[str, object] | None = None,
    fields: Mapping[str, Json] | None = None,
    *,
    answers: Answers = (),
    gateway: Gateway | None = None,
    id: str = "record",  # noqa: A002 (what users call it)
    attempt: int = 0,
) -> Outcome:
    """Returns the outcome of one attempt of a step for a record.

    Args:
        step: name, class, or what `make_step` returned.
        config: options of the step.
        fields: fields of the record.
        answers: answers of the model; see `StubGateway`.
        gateway: used instead of `answers`, to inspect its requests afterwards.
        id: id of the record.
        attempt: 0 for the first attempt.

    Raises:
        UnusableAnswer: if the answer can't be used, and the step would be retried.
        RecordError: if the step fails the record, or returns what a run refuses (undeclared fields, None).
    """
    made = step if isinstance(step, Step) else make_step(step, config)
    record = Record(id, dict(fields or {}))
    context = Context(gateway or StubGateway(answers), made, record, attempt)
    outcome = check_outcome(made, asyncio.run(made.run(record, context)))
    tell_drop(made, outcome)
    return outcome


def run_dataset_step(
    step: str | type[AnyStep] | AnyStep, config: Mapping[str, object] | None, rows: Iterable[Mapping[str, Json]]
) -> list[Outcome | RecordError]:
    """Returns the outcomes of a dataset step, one per record, in order; a RecordError is the reason why a record fails.

    Raises:
        TypeError: if the step is not a dataset step.
        UsageError: if it yields a record twice, one that it was not given, or something that is no outcome.
    """
    made = step if isinstance(step, Step) else make_step(step, config)
    if not isinstance(made, DatasetStep):
        raise TypeError(f"{made.type} is not a dataset step; use run_step")
    records = [Record(str(number), dict(row), number) for number, row in enumerate(rows)]
    context = Context(StubGateway(), made, Record("", {}))
    found: dict[str, Outcome | RecordError] = {}
    given = {record.id for record in records}
    for record, outcome in dataset_outcomes(made, records, context):
        check_place(made, record, given=record.id in given, again=record.id in found)
        found[record.id] = outcome
    return [found[record.id] if record.id in found else no_outcome(made) for record in records]
