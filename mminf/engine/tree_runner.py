"""Runs a record and its children through a stage."""

from __future__ import annotations

import asyncio

from mminf.engine.outcome import Result
from mminf.engine.outcome_writer import OutcomeWriter
from mminf.engine.parking import Parking
from mminf.engine.plan import StagePlan
from mminf.engine.record_runner import RecordRunner
from mminf.engine.record_state import RecordState
from mminf.engine.step_runner import StepRunner
from mminf.journal import StepProgress, Tree
from mminf.journal.codec import path_text
from mminf.record import Record
from mminf.states import RecordStatus

_FINAL = frozenset({RecordStatus.DONE, RecordStatus.DROPPED, RecordStatus.FAILED, RecordStatus.EXPANDED})


class TreeRunner:
    """Processes records and their children, until they are final or wait for engines that are not loaded.

    Args:
        steps: runs the steps of the records.
        writer: writes the outcomes of the records.
        parking: counts the records that wait.
    """

    def __init__(self, stage: StagePlan, steps: StepRunner, writer: OutcomeWriter, parking: Parking) -> None:
        self._stage = stage
        self._steps = steps
        self._writer = writer
        self._parking = parking

    async def run(self, record: Record, key: str | None, tree: Tree, start: int = 0) -> RecordStatus:
        """Runs a record and its children.

        Only the root has a key, and is written last: its row says that everything below it is final.

        Args:
            tree: progress of the record and its children in an earlier pass; updated if anything is parked.
            start: the first step that the record needs.

        Returns:
            `parked` if the record or a child is parked, else `failed` if one failed, else the record's own status.
        """
        name = path_text(record.path)
        known = tree.get(name, StepProgress())
        if (end := known.get("end")) in _FINAL:
            return RecordStatus(end)
        state = RecordState(self._stage, record, start, known)
        result = await RecordRunner(self._stage, state, self._steps, self._writer).run()
        if result.waits_for is not None:
            self._parking.note(result.waits_for)
        states = [result.state, *await self._run_children(result, tree)]
        if RecordStatus.PARKED in states:
            tree[name] = state.progress()
            return RecordStatus.PARKED
        failed = RecordStatus.FAILED in states
        # A failed record has no result, so the next run retries it.
        await self._writer.write(record, result, None if failed else key)
        status = RecordStatus.FAILED if failed else result.state
        tree[name] = StepProgress(end=status)
        return status

    async def _run_children(self, result: Result, tree: Tree) -> list[RecordStatus]:
        if result.children is None or result.step is None:
            return []
        first = result.step + 1
        found = await asyncio.gather(
            *(self.run(child, None, tree, first) for child in result.children), return_exceptions=True
        )
        states = []
        for item in found:
            if isinstance(item, BaseException):
                raise item
            states.append(item)
        return states
