"""Runs a dataset step: one that sees all surviving records, in source order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mminf.engine.context import Shared, StepContext
from mminf.engine.plan import StagePlan
from mminf.errors import RecordError
from mminf.journal import Journal, Row
from mminf.record import Record
from mminf.step.base import DatasetStep, Drop

BATCH = 256


class Records:
    """The records that are left after a stage, streamed from the journal; may be iterated over again."""

    def __init__(self, journal: Journal, stage: int, wanted: Callable[[Record], bool] | None = None) -> None:
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
    """
    step: DatasetStep[Any] = stage.steps[0]
    stats = shared.stats.steps[step.name]
    condition = step.condition
    ctx = StepContext(shared, step, Record("", {}), 0)
    results = step.run_all(
        Records(shared.journal, stage.index - 1, None if condition is None else lambda r: condition.test(r.fields)), ctx
    )
    while batch := await asyncio.to_thread(_take, results):
        rows = [_row(stage, step, record, outcome) for record, outcome in batch]
        stats.done += sum(row.state == "done" for row in rows)
        stats.dropped += sum(row.state == "dropped" for row in rows)
        await shared.journal.write_rows(rows)
        shared.check_draining()
    if condition is not None:
        passing = Records(shared.journal, stage.index - 1, lambda r: not condition.test(r.fields))
        for record in passing:
            stats.passed_by += 1
            await shared.journal.write_rows([_row(stage, step, record, {})])


def _take(results: Iterator[Any]) -> list[Any]:
    batch = []
    for item in results:
        batch.append(item)
        if len(batch) == BATCH:
            break
    return batch


def _row(stage: StagePlan, step: DatasetStep[Any], record: Record, outcome: Any) -> Row:
    state, reason, fields = "done", None, record.fields
    if isinstance(outcome, Drop):
        state, reason = "dropped", outcome.reason
    elif isinstance(outcome, Mapping):
        fields = {**fields, **outcome}
    else:
        raise RecordError(
            f"dataset step {step.name!r} gave {type(outcome).__name__} for {record.id}, not fields or a Drop"
        )
    at = step.name if state == "dropped" else None
    return Row(stage.index, record.id, record.id, record.seq, record.path, state, at, reason, fields, None)
