"""Runs a dataset step: one that sees all surviving records, in source order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence

from mminf.engine.outcome import Result
from mminf.engine.plan import StagePlan
from mminf.engine.stats import RunStats
from mminf.errors import MissingField, MminfError, RecordError, UsageError, raised_in, tell_bug
from mminf.journal import Journal, Row
from mminf.journal.outcomes import Outcomes
from mminf.record import Record
from mminf.states import RecordStatus
from mminf.step.base import AnyDatasetStep, DatasetStep, Drop, Outcome
from mminf.step.context import Context, Gateway
from mminf.step.outcome import check_place, dataset_outcomes, is_fields, no_outcome

BATCH = 256
_Outcomes = Generator[tuple[Record, Outcome | RecordError], None, None]


class Records:
    """The records that a stage reads, streamed from the journal; may be iterated over again."""

    def __init__(self, journal: Journal, stage: int, wanted: Callable[[Record], bool]) -> None:
        self._journal = journal
        self._stage = stage
        self._wanted = wanted

    def __iter__(self) -> Iterator[Record]:
        for row in self._journal.inputs(self._stage):
            record = row.record()
            if self._wanted(record):
                yield record


async def run_dataset_stage(stage: StagePlan, journal: Journal, gateway: Gateway, stats: RunStats) -> None:
    """Runs the stage's step over all records that are done in the previous stage.

    It is cheap compared to model calls, and its result depends on all records, so every run computes it again. A record
    for which the step yields no outcome fails.

    Raises:
        UsageError: if the step fails as a whole, or yields a record twice, or one that it was not given.
    """
    step = stage.steps[0]
    if not isinstance(step, DatasetStep):
        raise UsageError(f"step {step.name!r} sets `dataset = True`, but its class is not a DatasetStep")
    await journal.outcomes.forget_stage(stage.index)
    context = Context(gateway, step, Record("", {}))
    takes = _takes(step)
    results = dataset_outcomes(step, Records(journal, stage.index, takes), context)
    # The step does not see a record that skips it, or for which its condition fails.
    skipped = ((record, _skip(step, record)) for record in Records(journal, stage.index, lambda r: not takes(r)))
    forgotten = ((row.record(), no_outcome(step)) for row in journal.outcomes.left_out(stage.index))
    for outcomes in (results, skipped, forgotten) if step.condition is not None else (results, forgotten):
        try:
            await _write_all(stage, step, journal.outcomes, outcomes, stats)
        finally:
            with contextlib.suppress(ValueError):  # a thread of a cancelled run is still in it
                outcomes.close()  # an error keeps its frames, and with them a reader of the journal
        if stats.ending:
            return


async def _write_all(
    stage: StagePlan, step: AnyDatasetStep, outcomes: Outcomes, results: _Outcomes, stats: RunStats
) -> None:
    """Writes outcomes in batches, until there are no more or the run ends."""
    while batch := await asyncio.to_thread(_take, results, step):
        _check_once(stage, step, outcomes, [record for record, _ in batch])
        rows = [_row(stage, step, record, outcome) for record, outcome in batch]
        for row in rows:
            stats.steps[step.name].count(row.state)
            _count_figures(stats, stage.index, row)
        stats.count_failed(sum(row.state is RecordStatus.FAILED for row in rows))
        await outcomes.write(rows)
        if stats.ending:
            stats.leave_unfinished()
            return


def _count_figures(stats: RunStats, stage: int, row: Row) -> None:
    if (figures := stats.figures) is None:
        return
    root = row.root or row.id
    if stage > 0:  # the records of the source were counted when they were read
        figures.count_input(stage, root)
    if row.state is RecordStatus.DONE:
        figures.count_done(stage, root)
    elif row.state is RecordStatus.FAILED:
        figures.count_failed(root)


def _takes(step: AnyDatasetStep) -> Callable[[Record], bool]:
    def takes(record: Record) -> bool:
        try:
            return step.condition is None or step.condition.test(record.fields)
        except RecordError:
            return False

    return takes


def _skip(step: AnyDatasetStep, record: Record) -> Outcome | RecordError:
    """Returns the outcome of a record that the step does not see: nothing, or a failure of the condition."""
    try:
        if step.condition is not None:
            step.condition.test(record.fields)
    except RecordError as error:
        return error
    return {}


def _check_once(stage: StagePlan, step: AnyDatasetStep, outcomes: Outcomes, records: Sequence[Record]) -> None:
    """Raises UsageError if a record is not one of the stage's, or has an outcome of this run already."""
    places: set[tuple[str, tuple[int, ...]]] = set()
    given, written = outcomes.passed(stage.index - 1, records), outcomes.written(stage.index, records)
    for record, is_given, is_written in zip(records, given, written, strict=True):
        place = (record.origin, record.path)
        check_place(step, record, given=is_given, again=is_written or place in places)
        places.add(place)


def _take(results: _Outcomes, step: AnyDatasetStep) -> list[tuple[Record, Outcome | RecordError]]:
    batch = []
    try:
        for item in results:
            batch.append(item)
            if len(batch) == BATCH:
                break
    except MminfError as error:  # a damaged journal, an engine that has ended
        if isinstance(error, MissingField) and (line := raised_in(error)) is not None:
            raise UsageError(f"dataset step {step.name!r} failed: {error} ({line})") from error
        raise
    except Exception as error:  # a step over all records has no single record to fail
        raise UsageError(f"dataset step {step.name!r} failed: {tell_bug(error)}") from error
    return batch


def _row(stage: StagePlan, step: AnyDatasetStep, record: Record, outcome: Outcome | RecordError) -> Row:
    result = _result(record, outcome)
    at = None if result.state is RecordStatus.DONE else step.name
    return Row(
        stage.index,
        record.id,
        record.origin,
        record.seq,
        record.path,
        result.state,
        at,
        result.reason,
        result.fields,
        None,
    )


def _result(record: Record, outcome: Outcome | RecordError) -> Result:
    if isinstance(outcome, RecordError):
        return Result(RecordStatus.FAILED, record.fields, reason=str(outcome))
    if isinstance(outcome, Drop):
        return Result(RecordStatus.DROPPED, {**record.fields, **(outcome.fields or {})}, reason=outcome.reason)
    assert is_fields(outcome), "children were refused"
    return Result(RecordStatus.DONE, {**record.fields, **outcome})
