"""Runs the steps of a record as they become ready; calls run concurrently."""

from __future__ import annotations

import asyncio

from mminf.engine.outcome import Result, StepFailure, StepOutcome
from mminf.engine.outcome_writer import OutcomeWriter
from mminf.engine.plan import StagePlan
from mminf.engine.record_state import RecordState
from mminf.engine.step_runner import StepRunner
from mminf.engine.tally import note_outcome
from mminf.errors import EngineNotLoaded, Interrupted
from mminf.step.retry import FINAL


class RecordRunner:
    """Runs one record through a stage.

    Args:
        state: state of the record; it is updated.
        steps: runs its steps.
        writer: counts their outcomes.
    """

    def __init__(self, stage: StagePlan, state: RecordState, steps: StepRunner, writer: OutcomeWriter) -> None:
        self._stage = stage
        self._state = state
        self._steps = steps
        self._writer = writer
        self._running: dict[asyncio.Task[StepOutcome], int] = {}
        self._error: BaseException | None = None

    async def run(self) -> Result:
        """Runs the steps. Returns the result of the record, which may be parked.

        Raises:
            Interrupted, EngineError, JournalError: the record stays pending; calls in flight have ended.
        """
        try:
            while (ready := self._state.take_ready()) or self._running:
                await self._advance(ready)
        finally:
            for task in self._running:
                task.cancel()
        if self._error is not None:
            raise self._error
        return self._state.result()

    async def _advance(self, ready: list[int]) -> None:
        """Starts the ready steps, and waits until one of them is finished."""
        calls = [step for step in ready if step in self._stage.calls]
        for step in ready:
            if step not in calls:
                await self._run_alone(step)
        if len(calls) < len(ready):
            self._state.put_back(calls)  # the fields that were written may make more steps ready
        elif len(calls) == 1 and not self._running:
            await self._run_alone(calls[0])
        else:
            await self._run_together(calls)

    async def _run_alone(self, step: int) -> None:
        """Runs a step without a separate task, which most calls do not need."""
        try:
            self._settle(step, await self._steps.run(step, self._state.record))
        except EngineNotLoaded:
            self._state.block(step)
        except FINAL as error:
            self._abandon(error)

    async def _run_together(self, calls: list[int]) -> None:
        for step in calls:
            self._running[asyncio.create_task(self._steps.run(step, self._state.record))] = step
        finished, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        for task in finished:
            self._finish(self._running.pop(task), task)

    def _finish(self, step: int, task: asyncio.Task[StepOutcome]) -> None:
        if task.cancelled():
            if step < self._state.limit:  # not cancelled by us: the record must not look finished without this step
                self._abandon(Interrupted("a step was cancelled"))
            return
        failure = task.exception()
        if failure is None:
            self._settle(step, task.result())
        elif isinstance(failure, EngineNotLoaded):
            self._state.block(step)
        else:
            self._abandon(failure)

    def _settle(self, step: int, outcome: StepOutcome) -> None:
        note_outcome(self._state.record, self._stage.steps[step], outcome)
        if not isinstance(outcome, StepFailure):
            self._writer.count_step(step, outcome)
        self._state.settle(step, outcome)
        for task, index in self._running.items():
            if 0 <= self._state.limit <= index:
                task.cancel()

    def _abandon(self, error: BaseException) -> None:
        """Leaves the record pending; calls in flight still finish, so that the journal contains them."""
        self._error = self._error or error
        self._state.abandon()
