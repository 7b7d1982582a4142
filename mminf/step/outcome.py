"""Checks what a step returned."""

from __future__ import annotations

import inspect
import json
import logging
import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypeGuard

from mminf.errors import RecordError, UsageError
from mminf.recipe.model import StepLike
from mminf.record import Json, Record
from mminf.step.base import AnyDatasetStep, Drop, Outcome
from mminf.step.context import Context

log = logging.getLogger("mminf")
_PLAIN = frozenset({str, int, bool, type(None)})  # types that need no further check


def check_outcome(step: StepLike, outcome: object) -> Outcome:
    """Returns the outcome of a step, if it is valid. Fields must be declared, because later steps wait for these only.

    Raises:
        RecordError: if the outcome is not valid; the message says why.
    """
    if is_fields(outcome):
        # Most outcomes: a few plain values.
        if (
            all(type(value) in _PLAIN or _is_finite(value) for value in outcome.values())
            and outcome.keys() <= step.writes
        ):
            return outcome
        _check_items(step, [outcome])
        return outcome
    if isinstance(outcome, Drop):
        _check_items(step, [outcome.fields or {}])
        return outcome
    if not isinstance(outcome, list | tuple) or not all(isinstance(item, Mapping) for item in outcome):
        kind = type(outcome).__name__
        raise RecordError(f"step {step.name!r} returned {kind}, not fields, a Drop or a list of fields{_place(step)}")
    if not step.gate:
        raise RecordError(f"step {step.name!r} made children, but its class does not set `gate = True`{_place(step)}")
    _check_items(step, outcome)
    return outcome


def tell_drop(step: StepLike, outcome: Outcome) -> None:
    """Tells once per type of step if it drops records, but is no gate: its drops cost calls."""
    if isinstance(outcome, Drop) and not step.gate:
        _warn_of_drop(step.type)


@cache
def _warn_of_drop(kind: str) -> None:
    log.warning(
        "step type %r dropped a record, but its class does not set `gate = True`: later steps don't wait for it, and "
        "call models for records that it drops",
        kind,
    )


def dataset_outcomes(
    step: AnyDatasetStep, records: Iterable[Record], context: Context
) -> Generator[tuple[Record, Outcome | RecordError], None, None]:
    """Yields what a dataset step yields; an outcome that is not valid is a RecordError, which says why.

    Raises:
        UsageError: if the step yields something else than records with fields, a Drop or a RecordError.
    """
    results: object = step.run_all(records, context)
    if not isinstance(results, Iterable):
        raise UsageError(
            f"`run_all` of dataset step {step.name!r} returned {type(results).__name__}, not records with their "
            "outcomes: `yield record, outcome` for each record"
        )
    for item in results:
        match item:
            case (Record() as record, RecordError() as error):
                yield record, error
            case (Record() as record, outcome) if is_fields(outcome) or isinstance(outcome, Drop):
                try:
                    yield record, check_outcome(step, outcome)
                except RecordError as error:
                    yield record, error
            case (Record() as record, outcome):
                raise UsageError(
                    f"dataset step {step.name!r} yielded {type(outcome).__name__} for {record.id}, not fields or a Drop"
                )
            case _:
                raise UsageError(
                    f"dataset step {step.name!r} yielded {type(item).__name__}, not a record with its outcome"
                )


def check_place(step: AnyDatasetStep, record: Record, *, given: bool, again: bool) -> None:
    """Raises UsageError if a dataset step was not given a record that it yields, or yields it again."""
    if not given:
        raise UsageError(f"dataset step {step.name!r} yielded record {record.id!r}, which it was not given")
    if again:
        raise UsageError(f"dataset step {step.name!r} yielded record {record.id!r} twice")


def no_outcome(step: AnyDatasetStep) -> RecordError:
    """Returns why a record fails for which a dataset step has yielded nothing."""
    return RecordError(
        f"dataset step {step.name!r} yielded no outcome for it; to leave a record out, yield it with a Drop"
    )


def is_fields(outcome: object) -> TypeGuard[Mapping[str, Json]]:
    """Returns whether an outcome is new fields of the record."""
    return type(outcome) is dict or isinstance(outcome, Mapping)


def _check_items(step: StepLike, items: Sequence[Mapping[str, Json]]) -> None:
    for item in items:
        if undeclared := sorted(map(str, set(item) - step.writes)):
            raise RecordError(
                f"step {step.name!r} wrote {', '.join(undeclared)}, which it does not declare in `writes`{_place(step)}"
            )
    try:
        json.dumps(items, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise RecordError(f"step {step.name!r} wrote a value that is not JSON: {error}{_place(step)}") from error


def _place(step: StepLike) -> str:
    """Returns ` (file:line)` of the method of a plugin's step that returned an outcome; nothing for steps of mminf."""
    method = getattr(step, "run_all" if step.dataset else "run", None)
    code = getattr(inspect.unwrap(method), "__code__", None) if callable(method) else None
    if code is None or getattr(step, "code", None) is None:
        return ""
    return f" ({Path(code.co_filename).name}:{code.co_firstlineno})"


def _is_finite(value: object) -> bool:
    return type(value) is float and math.isfinite(value)
