"""Runs a dataset step: one that sees all surviving records, in source order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mminf.engine.context import Shared, StepContext
from mminf.engine.plan import StagePlan
from mminf.engine.scheduler import Scheduler
from mminf.engine.stats import RunStats, StepStats
from mminf.errors import MminfError, RecordError, UsageError
from mminf.journal import Row
from mminf.record import Record
from mminf.step.base import DatasetStep, Drop

BATCH = 256


class Records:
    """The records that are left after a stage, streamed from the journal; may be iterated over again.

    Args:
        journal: a `Journal` or a `FrozenJournal`.
    """

    def __init__(self, journal: Any, stage: int, wanted: Callable[[Record], bool] | None = None) -> None:
        self.journal = journal
        self.stage = stage
        self.wanted = wanted

    def __iter__(self) -> Iterator[Record]:
        for row in self.journal.rows(self.stage):
            record = row.record()
            if self.wanted is None or self.wanted(record):
                yield record


async def run_dataset_stage(stage: StagePlan, shared: Shared) -> None:
    """Runs the stage's step over all records that the stage before has left.

    It is cheap beside the models, and its result depends on all records, so it is computed anew in every run.

    Raises:
        UsageError: if the step itself breaks.
    """
    step: DatasetStep[Any] = stage.steps[0]
    ctx = StepContext(shared, step, Record("", {}), 0)
    takes, passes = _takes(step), _passes(step)
    results = step.run_all(Records(shared.journal, stage.index - 1, takes), ctx)
    # What passes by, or fails on the condition, is seen by the step no more.
    others = ((record, passes(record)) for record in Records(shared.journal, stage.index - 1, lambda r: not takes(r)))
    for outcomes in (results, others if step.condition is not None else iter(())):
        while batch := await asyncio.to_thread(_take, outcomes, step):
            rows = [_row(stage, step, record, outcome) for record, outcome in batch]
            _count(rows, shared.stats.steps[step.name], shared.stats)
            await shared.journal.write_rows(rows)
            if shared.stats.ending:
                shared.stats.unfinished = True
                return


def _takes(step: DatasetStep[Any]) -> Callable[[Record], bool]:
    def takes(record: Record) -> bool:
        try:
            return step.condition is None or step.condition.test(record.fields)
        except RecordError:
            return False

    return takes


def _passes(step: DatasetStep[Any]) -> Callable[[Record], Any]:
    """What becomes of a record that the step's condition keeps from it: nothing, or a failure of the condition."""

    def passes(record: Record) -> Any:
        try:
            if step.condition is not None:
                step.condition.test(record.fields)
        except RecordError as error:
            return error
        return {}

    return passes


def _count(rows: list[Row], stats: StepStats, whole: RunStats) -> None:
    failed = sum(row.state == "failed" for row in rows)
    stats.done += sum(row.state == "done" for row in rows)
    stats.dropped += sum(row.state == "dropped" for row in rows)
    stats.failed += failed
    whole.failed += failed


def _take(results: Iterator[Any], step: DatasetStep[Any]) -> list[Any]:
    batch = []
    try:
        for item in results:
            batch.append(item)
            if len(batch) == BATCH:
                break
    except MminfError:  # a journal that is damaged, an engine that is gone
        raise
    except Exception as error:  # a step over all records has no single record to fail
        raise UsageError(f"dataset step {step.name!r} broke: {type(error).__name__}: {error}") from error
    return batch


def _row(stage: StagePlan, step: DatasetStep[Any], record: Record, outcome: Any) -> Row:
    state, reason, fields, key = "done", None, record.fields, None
    if isinstance(outcome, Drop | Mapping):
        try:
            Scheduler.checked(step, outcome)
        except RecordError as error:
            outcome = error
    if isinstance(outcome, Drop):
        state, reason, fields = "dropped", outcome.reason, {**fields, **(outcome.fields or {})}
    elif isinstance(outcome, RecordError):
        state, reason = "failed", str(outcome)
    elif isinstance(outcome, Mapping):
        fields = {**fields, **outcome}
    else:
        raise UsageError(
            f"dataset step {step.name!r} gave {type(outcome).__name__} for {record.id}, not fields or a Drop"
        )
    at = None if state == "done" else step.name
    return Row(stage.index, record.id, record.origin, record.seq, record.path, state, at, reason, fields, key)
