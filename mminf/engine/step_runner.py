"""Runs a step on a record: its condition, its attempts, the check of its outcome."""

from __future__ import annotations

import traceback
from collections.abc import Mapping

from mminf.engine.first_failures import FirstFailures
from mminf.engine.outcome import SKIPPED, Skipped, StepFailure, StepOutcome
from mminf.engine.plan import StagePlan
from mminf.engine.run_log import file_log
from mminf.engine.stats import RunStats
from mminf.errors import EngineError, MissingField, RecordError, raised_in
from mminf.record import Record
from mminf.registry import is_bundled
from mminf.step.base import Outcome
from mminf.step.context import Context, Gateway
from mminf.step.failure import KeepFailed
from mminf.step.outcome import check_outcome, is_fields, tell_drop
from mminf.step.retry import StepBug, retry

BUGS = 20
"""Maximum number of tracebacks in the log."""


class StepRunner:
    """Runs the steps of a stage.

    Args:
        gateway: answers the steps' calls.
        stats: counts retries and skipped records.
        written_off: attempts that count as used, by record and step.
        first_failures: stops a run whose first records all fail in the same way.
    """

    def __init__(
        self,
        stage: StagePlan,
        gateway: Gateway,
        stats: RunStats,
        written_off: Mapping[tuple[str, str], int],
        first_failures: FirstFailures,
    ) -> None:
        self._stage = stage
        self._gateway = gateway
        self._stats = stats
        self._written_off = written_off
        self._first_failures = first_failures
        self._bugs: set[tuple[str, str]] = set()

    async def run(self, index: int, record: Record) -> StepOutcome:
        """Returns the outcome of a step, after at most `attempts` attempts.

        Raises:
            EngineNotLoaded, Interrupted: the record stays pending.
            EngineError: if the engine can't be used, or the first records have all failed in this way.
        """
        name = self._stage.steps[index].name
        number = self._first_failures.begin(name)
        try:
            outcome = await self._attempt(index, record)
        except BaseException:  # interrupted, or parked until its engine is loaded
            self._first_failures.left_out(name, number)
            raise
        if isinstance(outcome, Skipped) or (isinstance(outcome, StepFailure) and outcome.lacks_field):
            # Rows may lack a field that later ones have; no model was called for them.
            self._first_failures.left_out(name, number)
        elif (reason := self._failure(index, outcome)) is None:
            self._first_failures.passed(name)
        elif (stop := self._first_failures.failed(name, number, reason)) is not None:
            raise EngineError(stop)
        return outcome

    def _failure(self, index: int, outcome: StepOutcome) -> str | None:
        """Returns why a step failed, even if it keeps the record, or None."""
        if isinstance(outcome, StepFailure):
            return outcome.reason
        step = self._stage.steps[index]
        return step.reason(outcome) if isinstance(step, KeepFailed) and is_fields(outcome) else None

    async def _attempt(self, index: int, record: Record) -> StepOutcome:
        step = self._stage.steps[index]
        stats = self._stats.steps[step.name]
        base = self._written_off.get((record.id, step.name), 0) if self._written_off else 0

        async def attempt(number: int) -> Outcome:
            context = Context(self._gateway, step, record, base + number)
            outcome = check_outcome(step, await step.run(record, context))
            tell_drop(step, outcome)
            return outcome

        try:
            if step.condition is not None and not step.condition.test(record.fields):
                stats.count_skipped()
                return SKIPPED
            return await retry(attempt, step.config.attempts, before=lambda *_: stats.count_retry())
        except RecordError as error:
            if isinstance(error, StepBug):
                self._log_bug(step.name, record, error)
            reason, lacks = str(error), isinstance(error, MissingField)
            if lacks and not is_bundled(type(step)) and (line := raised_in(error)) is not None:
                reason += f" ({line})"
            return StepFailure(reason, lacks_field=lacks)

    def _log_bug(self, name: str, record: Record, error: StepBug) -> None:
        """Writes the traceback of an exception that a step does not expect to the log, once for each type and place."""
        cause = error.__cause__
        place = f"{type(cause).__name__} {traceback.extract_tb(cause.__traceback__)[-1:]}" if cause is not None else ""
        if (name, place) not in self._bugs and len(self._bugs) < BUGS:
            self._bugs.add((name, place))
            file_log.error("step %s, record %s: %s", name, record.id, error, exc_info=cause)
