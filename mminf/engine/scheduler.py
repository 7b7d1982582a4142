"""Takes records through a stage: every step as soon as its fields are there, many records at once, no barrier."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mminf.engine.context import Shared, StepContext
from mminf.engine.plan import StagePlan
from mminf.errors import AskAgain, EngineError, Interrupted, JournalError, RecordError
from mminf.journal import Row
from mminf.record import Fields, Record
from mminf.source.base import BadRow
from mminf.step.base import Drop

log = logging.getLogger("mminf")


@dataclass(slots=True)
class End:
    """Where a record's way through a stage ends. state: done, dropped, failed, expanded."""

    state: str
    step: int | None = None
    reason: str | None = None
    fields: Fields | None = None
    items: list[Mapping[str, Any]] | None = None
    children: list[Record] | None = None


class Scheduler:
    """Runs one stage of record steps.

    Args:
        window: at most so many records in flight.
    """

    def __init__(self, stage: StagePlan, shared: Shared, window: int) -> None:
        self.stage = stage
        self.shared = shared
        self.window = window
        self._all = (1 << len(stage.steps)) - 1

    async def run(self, records: Iterator[Record | BadRow]) -> None:
        """Takes every record to its end and writes what became of it.

        Raises:
            EngineError, JournalError: if nothing more can be done; what is done is in the journal.
        """
        workers = [asyncio.create_task(self._work(records)) for _ in range(self.window)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, records: Iterator[Record | BadRow]) -> None:
        for record in records:
            if self.shared.stats.draining:
                self.shared.stats.unfinished = True
                return
            self.shared.stats.read += 1
            if isinstance(record, BadRow):
                await self._write_bad(record)
            else:
                try:
                    if not self._resume(record):
                        await self._settle(record)
                    elif self.shared.stats.read % 64 == 0:
                        await asyncio.sleep(0)  # a long run of resumed records must let others move
                except Interrupted:
                    self.shared.stats.unfinished = True
                    return
                except (RecursionError, TypeError, ValueError, OverflowError) as error:
                    # Values that pass every check and still can't be digested or written: the record's fault alone.
                    log.debug("record %s", record.id, exc_info=True)
                    await self._write_bad(BadRow(record.id, f"can't be kept: {type(error).__name__}: {error}"))

    def _resume(self, record: Record) -> bool:
        """Takes a record over that an earlier run has finished."""
        key = self.stage.key(record, self.shared.retries)
        if not self.shared.journal.finished(self.stage.index, record, key):
            return False
        self.shared.journal.keep_rows(self.stage.index, record)
        self.shared.stats.resumed += 1
        self.shared.stats.settled += 1
        return True

    async def _settle(self, record: Record) -> None:
        key = self.stage.key(record, self.shared.retries)
        self.shared.journal.forget_rows(self.stage.index, record)
        await self._grow(record, 0, key)
        self.shared.stats.settled += 1

    async def _grow(self, record: Record, start: int, key: str | None) -> bool:
        """Takes a record and its children to their ends. Returns whether none of them failed.

        Only the root has a key, and is written last: its row says that everything below it is final.
        """
        end = await self._advance(record, start)
        fine = end.state != "failed"
        if end.children is not None:
            assert end.step is not None
            after = end.step + 1
            grown = await asyncio.gather(
                *(self._grow(child, after, None) for child in end.children), return_exceptions=True
            )
            for error in grown:
                if isinstance(error, BaseException):
                    raise error
            fine = all(grown)
        if not fine:
            key = None  # a failed record has no result, so the next run tries it again
        await self._write(record, end, key)
        return fine

    async def _write(self, record: Record, end: End, key: str | None) -> None:
        step = self.stage.steps[end.step].name if end.step is not None else None
        row = Row(
            self.stage.index,
            record.id,
            record.origin,
            record.seq,
            record.path,
            end.state,
            step,
            end.reason,
            end.fields if end.fields is not None else record.fields,
            key,
        )
        await self.shared.journal.write_rows([row])

    async def _write_bad(self, bad: BadRow) -> None:
        stats = self.shared.stats
        row = Row(self.stage.index, bad.id, bad.id, stats.read - 1, (), "failed", "source", bad.reason, {}, None)
        await self.shared.journal.write_rows([row])
        stats.failed += 1
        stats.settled += 1

    async def _advance(self, record: Record, start: int) -> End:
        return await _Way(self, record, start).walk()

    async def attempt(self, index: int, record: Record) -> Any:
        """Runs a step, as often as its attempts allow. Returns its outcome, or an End for a record that fails."""
        step = self.stage.steps[index]
        stats = self.shared.stats.steps[step.name]
        base = self.shared.retries.get((record.id, step.name), 0) if self.shared.retries else 0
        reason = ""
        try:
            if step.condition is not None and not step.condition.test(record.fields):
                stats.passed_by += 1
                return {}
            for number in range(step.config.attempts):
                if number:
                    stats.repeated += 1
                try:
                    return self.checked(
                        step, await step.run(record, StepContext(self.shared, step, record, base + number))
                    )
                except (Interrupted, EngineError, JournalError, RecordError):
                    raise
                except AskAgain as error:
                    reason = str(error)
                except Exception as error:  # a step's own bug fails the record that it met, not the run
                    log.debug("step %s failed on record %s", step.name, record.id, exc_info=True)
                    reason = f"{type(error).__name__}: {error}"
        except (Interrupted, EngineError, JournalError):
            raise
        except RecordError as error:
            return End("failed", index, str(error))
        tries = f" ({step.config.attempts} attempts)" if step.config.attempts > 1 else ""
        return End("failed", index, f"{reason}{tries}")

    @staticmethod
    def checked(step: Any, outcome: Any) -> Any:
        """Refuses what a step did not declare, since later steps were not told to wait for it."""
        if isinstance(outcome, Drop):
            items: Any = [outcome.fields or {}]
        else:
            items = [outcome] if isinstance(outcome, Mapping) else outcome
        if not isinstance(items, list | tuple) or not all(isinstance(item, Mapping) for item in items):
            raise RecordError(
                f"step {step.name!r} returned {type(outcome).__name__}, not fields, a Drop or a list of fields"
            )
        if not isinstance(outcome, Mapping | Drop) and not step.gate:
            raise RecordError(f"step {step.name!r} made children, but its class does not say `gate = True`")
        for item in items:
            if undeclared := sorted(set(item) - step.writes):
                raise RecordError(
                    f"step {step.name!r} wrote {', '.join(undeclared)}, which it does not declare in `writes`"
                )
        try:
            json.dumps(items)
        except (TypeError, ValueError) as error:
            raise RecordError(f"step {step.name!r} wrote a value that is no JSON: {error}") from error
        return outcome


class _Way:
    """One record's way through a stage.

    Its end is that of the first step, in list order, that ends it, whichever is faster: so the outcome depends on
    the record alone, never on timing.
    """

    def __init__(self, scheduler: Scheduler, record: Record, start: int) -> None:
        self.scheduler = scheduler
        self.stage = scheduler.stage
        self.record = record
        self.source = dict(record.fields)
        self.done = (1 << start) - 1
        self.pending = list(range(start, len(self.stage.steps)))
        self.running: dict[asyncio.Task[Any], int] = {}
        self.written: dict[int, Mapping[str, Any]] = {}
        self.ends: dict[int, End] = {}
        self.limit = len(self.stage.steps)
        self.error: BaseException | None = None

    async def walk(self) -> End:
        try:
            while True:
                ready = self._take_ready()
                if not ready and not self.running:
                    break
                await self._move(ready)
        finally:
            for task in self.running:
                task.cancel()
        if self.error is not None:
            raise self.error
        if not self.ends:
            return End("done", fields=self._fields(self.limit))
        end = self.ends[self.limit]
        kept = dict(end.fields) if end.fields else {}
        end.fields = self._fields(self.limit) | kept
        if end.items is not None:
            # Only now has every step before this one written what children inherit.
            parent = dataclasses.replace(self.record, fields=end.fields)
            end.children = [parent.child(number, dict(fields)) for number, fields in enumerate(end.items)]
        return end

    def _take_ready(self) -> list[int]:
        waits = self.stage.waits
        ready = [i for i in self.pending if i < self.limit and not waits[i] & ~self.done]
        self.pending = [i for i in self.pending if i not in ready]
        return ready

    async def _move(self, ready: list[int]) -> None:
        """Starts what is ready and waits until something is finished."""
        calls = [i for i in ready if self.stage.steps[i].engine is not None]
        for i in ready:
            if i not in calls:
                self._settle(i, await self.scheduler.attempt(i, self.record))
        if len(calls) < len(ready):
            self.pending = sorted(self.pending + calls)  # what was just written may have made more ready
            return
        if len(calls) == 1 and not self.running:
            try:
                self._settle(calls[0], await self.scheduler.attempt(calls[0], self.record))
            except (Interrupted, EngineError, JournalError) as error:
                self._abandon(error)
            return
        for i in calls:
            self.running[asyncio.create_task(self.scheduler.attempt(i, self.record))] = i
        finished, _ = await asyncio.wait(self.running, return_when=asyncio.FIRST_COMPLETED)
        for task in finished:
            i = self.running.pop(task)
            if task.cancelled():
                if i < self.limit:  # not by us: the record must not look finished without this step
                    self._abandon(Interrupted("a step was cancelled"))
                continue
            if (failure := task.exception()) is not None:
                self._abandon(failure)
            else:
                self._settle(i, task.result())

    def _abandon(self, error: BaseException) -> None:
        """The record stays pending; calls that are under way still finish, so that the journal has them."""
        self.error = self.error or error
        self.limit = -1

    def _settle(self, i: int, outcome: Any) -> None:
        stats = self.scheduler.shared.stats.steps[self.stage.steps[i].name]
        if isinstance(outcome, Mapping):
            stats.done += 1
            self.written[i] = outcome
            self.record.fields = {**self.record.fields, **outcome}
            self.done |= 1 << i
            return
        if isinstance(outcome, Drop):
            stats.dropped += 1
            end = End("dropped", i, outcome.reason, dict(outcome.fields or {}))
        elif isinstance(outcome, End):
            stats.failed += 1
            self.scheduler.shared.stats.failed += 1
            end = outcome
        elif not outcome:
            stats.dropped += 1
            end = End("dropped", i, "no children")
        else:
            stats.done += 1
            end = End("expanded", i, f"{len(outcome)} children", items=list(outcome))
        if self.error is None:
            self.ends[i] = end
            self.limit = min(self.limit, i)
            for task, index in self.running.items():
                if index > i:
                    task.cancel()

    def _fields(self, limit: int) -> Fields:
        fields = dict(self.source)
        for i in sorted(self.written):
            if i < limit:
                fields |= self.written[i]
        return fields
