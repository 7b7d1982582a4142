"""Writes and counts the outcomes of records."""

from __future__ import annotations

from mminf.engine.outcome import Result, Skipped, StepOutcome
from mminf.engine.plan import StagePlan
from mminf.engine.stats import RunStats
from mminf.journal import Row
from mminf.journal.outcomes import Outcomes
from mminf.record import Fields, Record
from mminf.source.base import BadRow
from mminf.states import RecordStatus
from mminf.step.outcome import is_fields

SOURCE = "source"
"""Name of the step in the failure of a row that is not a record."""


class OutcomeWriter:
    """Writes the outcomes of one stage.

    Args:
        outcomes: outcomes of the journal.
        stats: counters of the run.

    Attributes:
        done: number of records that are done in the stage, including those of earlier runs.
    """

    def __init__(self, stage: StagePlan, outcomes: Outcomes, stats: RunStats) -> None:
        self._stage = stage
        self._outcomes = outcomes
        self._stats = stats
        self.done = 0

    def count_step(self, step: int, outcome: StepOutcome) -> None:
        """Counts a record that passed a step."""
        if is_fields(outcome) or isinstance(outcome, Skipped):
            self._stats.steps[self._stage.steps[step].name].count(RecordStatus.DONE)

    async def write(self, record: Record, result: Result, key: str | None) -> None:
        """Writes the outcome of a record; returns once it is committed.

        Args:
            key: key of the outcome; None for a child, and for a record that the next run retries.
        """
        self._count(result)
        self._count_figures(record, result.state)
        step = None if result.step is None else self._stage.steps[result.step].name
        await self._outcomes.write([self._row(record, result.state, step, result.reason, result.fields, key)])

    async def write_bad(self, bad: BadRow) -> None:
        """Writes the failure of a row that is not a record."""
        await self.write_failure(Record(bad.id, {}, bad.seq), bad.reason)

    async def write_failure(self, record: Record, reason: str) -> None:
        """Writes the failure of a record without its fields."""
        await self._outcomes.write([self._row(record, RecordStatus.FAILED, SOURCE, reason, {}, None)])
        self._stats.count_failed()
        if self._stats.figures is not None:
            self._stats.figures.count_input(max(0, self._stage.index), record.origin)
        self._count_figures(record, RecordStatus.FAILED)
        self.count_settled()

    def resume(self, record: Record, key: str) -> bool:
        """Takes over the outcome of an earlier run. Returns whether there is one for this key."""
        if not self._outcomes.is_final(self._stage.index, record, key):
            return False
        self._outcomes.keep(self._stage.index, record)
        self.count_settled(resumed=True)
        return True

    def count_resumed(self, record: Record) -> None:
        """Adds a resumed record, or its descendants that are done, to `done`."""
        self.done += self._outcomes.count_done(self._stage.index, record)

    def forget(self, record: Record) -> None:
        """Removes the outcome of an earlier run."""
        self._outcomes.forget(self._stage.index, record)

    def count_settled(self, *, resumed: bool = False) -> None:
        """Counts a source record, only in the first stage, because the total counts source records."""
        if self._stage.index <= 0:
            self._stats.count_settled(resumed=resumed)

    def _count(self, result: Result) -> None:
        if result.state is RecordStatus.DONE:
            self.done += 1
            return
        assert result.step is not None, "a step has dropped, failed or expanded it"
        self._stats.steps[self._stage.steps[result.step].name].count(result.state)
        if result.state is RecordStatus.FAILED:
            self._stats.count_failed()

    def _count_figures(self, record: Record, state: RecordStatus) -> None:
        figures = self._stats.figures
        if figures is None:
            return
        if state is RecordStatus.FAILED:
            figures.count_failed(record.origin)
        elif state is RecordStatus.DONE and self._stage.index >= 0:
            figures.count_done(self._stage.index, record.origin)

    def _row(
        self, record: Record, state: RecordStatus, step: str | None, reason: str | None, fields: Fields, key: str | None
    ) -> Row:
        return Row(
            self._stage.index, record.id, record.origin, record.seq, record.path, state, step, reason, fields, key
        )
