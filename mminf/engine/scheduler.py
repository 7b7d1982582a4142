"""Runs the records of a stage: every step as soon as its fields are written, many records at once, no barrier."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping

from mminf.engine.admission import Admission, Limits
from mminf.engine.outcome_writer import OutcomeWriter
from mminf.engine.parking import Parking
from mminf.engine.plan import StagePlan
from mminf.engine.stats import RunStats
from mminf.engine.tally import Tally, begin_tally
from mminf.engine.tree_runner import TreeRunner
from mminf.errors import Interrupted
from mminf.journal import Waiting
from mminf.record import Record
from mminf.source.base import BadRow
from mminf.states import RecordStatus

log = logging.getLogger("mminf")
RESUMED_AT_ONCE = 64


class Scheduler:
    """Runs one stage of record steps.

    Records stream through all steps whose engines are loaded. One that needs an engine for which there is no room is
    parked in the journal; when no other record can continue, engines are swapped and the parked records continue.

    Args:
        limits: limits on the records in flight and on all records.
        runner: runs a record and its children.
        writer: writes their outcomes.
        parking: keeps those that wait for an engine.
        written_off: attempts that count as used, by record and step.
        stats: counts records; says whether the run is ending.

    Attributes:
        position: number of the last record that was taken; None when there are no more.
    """

    def __init__(
        self,
        stage: StagePlan,
        limits: Limits,
        runner: TreeRunner,
        writer: OutcomeWriter,
        parking: Parking,
        written_off: Mapping[tuple[str, str], int],
        stats: RunStats,
    ) -> None:
        self._stage = stage
        self._limits = limits
        self._runner = runner
        self._writer = writer
        self._parking = parking
        self._written_off = written_off
        self._stats = stats
        self._admission = Admission(limits.target)
        self._left: int | None = None
        self._few_left = asyncio.Event()

    @property
    def position(self) -> int | None:
        return self._admission.position

    async def run(self, records: Iterator[Record | BadRow]) -> None:
        """Processes every record, and writes its outcome.

        Raises:
            EngineError, JournalError: if the run can't continue; progress is in the journal.
        """
        self._parking.reserve()
        while not (self._stats.unfinished or self._admission.is_over(self._writer.done)):
            self._parking.begin_pass()
            await self._pass(self._admit(records), self._limits.total)
            while self._parking.waiting and not self._stats.unfinished:
                if self._stats.ending:
                    self._stats.leave_unfinished()
                    return
                waiting = self._parking.waiting
                await self._parking.swap()
                await self._pass(self._parking.take(), waiting)

    def _admit(self, records: Iterator[Record | BadRow]) -> Iterator[Waiting | BadRow]:
        """Yields records while more are needed. If they are parked, it stops at the number that is probably enough."""
        enough = self._admission.needed(self._writer.done)
        while not self._admission.has_enough(self._writer.done) and self._parking.parked < enough:
            if (record := self._admission.take(records)) is None:
                return
            yield record if isinstance(record, BadRow) else Waiting(record, {}, None)

    async def _pass(self, records: Iterator[Waiting | BadRow], total: int | None) -> None:
        """Runs records as far as possible with the engines that are loaded or fit into memory."""
        self._left = total
        self._few_left.clear()
        workers = [asyncio.create_task(self._work(records)) for _ in range(self._limits.window)]
        helpers = range(self._limits.last - self._limits.window)
        workers += [asyncio.create_task(self._help(records)) for _ in helpers]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _help(self, records: Iterator[Waiting | BadRow]) -> None:
        """Takes records when few are left, so that more of them are in flight."""
        await self._few_left.wait()
        await self._work(records)

    async def _work(self, records: Iterator[Waiting | BadRow]) -> None:
        try:
            for item in records:
                self._count_taken()
                if self._stats.ending:
                    self._stats.leave_unfinished()
                    return
                await self._run_item(item)
        except Interrupted:
            self._stats.leave_unfinished()
        finally:
            self._few_left.set()

    def _count_taken(self) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left < self._limits.last:
                self._few_left.set()

    async def _run_item(self, item: Waiting | BadRow) -> None:
        if isinstance(item, BadRow):
            self._stats.count_read()
            await self._writer.write_bad(item)
            return
        try:
            await (self._continue(item) if item.tree else self._begin(item.record))
        except (RecursionError, TypeError, ValueError, OverflowError) as error:
            # Values that pass every check, but can't be digested or written, fail only their record.
            record = item.record
            log.debug("record %s", record.id, exc_info=True)
            reason = f"can't be stored: {type(error).__name__}: {error}"
            await self._writer.write_failure(record, reason)

    async def _begin(self, record: Record) -> None:
        """Runs a record of the source, or takes over the outcome of an earlier run."""
        read = self._stats.count_read()
        key = self._stage.key(record, self._written_off)
        # A probe measures all its records; their answers are in the journal.
        if self._stats.figures is None and self._writer.resume(record, key):
            if self._limits.target is not None:
                self._writer.count_resumed(record)
            if read % RESUMED_AT_ONCE == 0:
                await asyncio.sleep(0)  # let other tasks run during a long series of resumed records
            return
        self._writer.forget(record)
        await self._continue(Waiting(record, {}, key))

    async def _continue(self, waiting: Waiting) -> None:
        record, tree, key = waiting
        tally, is_new = begin_tally(self._stats.notes), not tree
        status = await self._runner.run(record, key, tree)
        self._count(record, tally, is_new=is_new)
        if status is RecordStatus.PARKED:
            self._stats.count_set_aside(tally.seconds)
            await self._parking.park(waiting)
        else:
            self._stats.count_final(tally.seconds)
            self._writer.count_settled()

    def _count(self, record: Record, tally: Tally, *, is_new: bool) -> None:
        if self._stats.figures is not None:
            stage = max(0, self._stage.index)  # a run that begins with a dataset step has a stage -1
            self._stats.figures.count_record(stage, record.origin, tally.calls, tally.elapsed, is_new=is_new)
