"""Takes records through a stage: every step as soon as its fields are there, many records at once, no barrier."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mminf.engine.context import Shared, StepContext
from mminf.engine.engines import Engine
from mminf.engine.first_failures import FirstFailures
from mminf.engine.plan import StagePlan
from mminf.errors import AskAgain, EngineError, Interrupted, JournalError, MissingField, Parked, RecordError
from mminf.journal import Row, Tree, Waiting, path_text
from mminf.record import Fields, Record
from mminf.source.base import BadRow
from mminf.step.base import Drop
from mminf.template import failed_check

log = logging.getLogger("mminf")
_PLAIN = frozenset({str, int, float, bool, type(None)})  # JSON without a closer look
_SKIPPED: Mapping[str, Any] = {}
FIRST_GUESS = 0.25  # of the records of a recipe with filters are accepted, about


@dataclass(slots=True)
class End:
    """Where a record's way through a stage ends. state: done, dropped, failed, expanded, parked."""

    state: str
    step: int | None = None
    reason: str | None = None
    fields: Fields | None = None
    items: list[Mapping[str, Any]] | None = None
    children: list[Record] | None = None
    lacks_field: bool = False


class Scheduler:
    """Runs one stage of record steps.

    Records stream through all steps whose engines are loaded. One that needs an engine for which there is no room is
    parked in the journal; when no other record can move, engines are swapped and the parked records go on.

    Args:
        window: at most so many records in flight.
        target: no more records are taken from the source once so many have come to the end.
        last: so many records may be in flight when no more than these are left to take. The calls of one record go one
            after the other, so the last ones keep an engine full for longer if more of them are under way.
        total: how many records will come, where that is known.
        first_failures: stops a run whose first records all fail in the same way.

    Attributes:
        position: number of the last record that was taken; None when there are no more.
    """

    def __init__(
        self,
        stage: StagePlan,
        shared: Shared,
        window: int,
        target: int | None = None,
        last: int = 0,
        total: int | None = None,
        first_failures: FirstFailures | None = None,
    ) -> None:
        self.stage = stage
        self.shared = shared
        self.window = window
        self.last = last
        self.total = total
        self._left: int | None = None
        self._ending = asyncio.Event()
        self.target = target
        self.accepted = 0
        self.calls = tuple(step.engine is not None for step in stage.steps)
        self._writes = tuple(step.writes for step in stage.steps)
        self.blocked: Counter[int] = Counter()
        self.position: int | None = None
        self.first_failures = first_failures or FirstFailures((), None)
        self._parked = 0
        self._pulled = 0
        self._exhausted = False

    async def run(self, records: Iterator[Record | BadRow]) -> None:
        """Takes every record to its end and writes what became of it.

        Raises:
            EngineError, JournalError: if nothing more can be done; what is done is in the journal.
        """
        stats = self.shared.stats
        self.shared.pool.reserve(self._engines(self.stage.steps))
        while not (self._exhausted or stats.unfinished or self._has_enough()):
            self._parked = 0
            await self._pass((Waiting(record, {}, None) for record in self._pull(records)), self.total)
            while self.blocked and not stats.unfinished:
                if stats.ending:
                    stats.unfinished = True
                    return
                waiting = self.blocked.total()
                await self._swap()
                await self._pass(self.shared.journal.parked(self.stage.index), waiting)

    def _pull(self, records: Iterator[Record | BadRow]) -> Iterator[Record | BadRow]:
        """Yields records while more are needed; not more than are likely to be, where they are parked on the way."""
        enough = self._needed()
        while not self._has_enough():
            if self._parked >= enough:
                return
            record = next(records, None)
            if record is None:
                self._exhausted = True
                self.position = None
                return
            self._pulled += 1
            self.position = record.seq
            yield record

    def _has_enough(self) -> bool:
        return self.target is not None and self.accepted >= self.target

    def _needed(self) -> float:
        """How many parked records are likely to hold what the target still lacks, by those that were taken before."""
        if self.target is None:
            return math.inf
        share = max(0.02, self.accepted / self._pulled) if self._pulled else FIRST_GUESS
        return math.ceil(1.1 * (self.target - self.accepted) / share) + 16

    async def _pass(self, records: Iterator[Waiting], total: int | None) -> None:
        """Takes records as far as the engines allow that are loaded, or find room."""
        self._left = total
        self._ending.clear()
        workers = [asyncio.create_task(self._work(records)) for _ in range(self.window)]
        workers += [asyncio.create_task(self._help(records)) for _ in range(self.last - self.window)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _swap(self) -> None:
        """Loads the engine that the earliest of the waiting steps needs."""
        await self.shared.journal.flush()
        first = min(self.blocked)
        waiting, self.blocked = self.blocked, Counter()
        later = self._engines((*self.stage.steps[first:], *self.stage.steps[:first]))
        log.info(
            "%d records wait for %s (step %s)",
            sum(waiting.values()),
            later[0].stats.model,
            self.stage.steps[first].name,
        )
        await self.shared.pool.swap(later[0], later[1:])

    def _engines(self, steps: Sequence[Any]) -> list[Engine]:
        return [self.shared.engines[step.engine] for step in steps if step.engine is not None]

    async def _help(self, records: Iterator[Waiting]) -> None:
        await self._ending.wait()
        await self._work(records)

    async def _work(self, records: Iterator[Waiting]) -> None:
        try:
            await self._take(records)
        finally:
            self._ending.set()

    async def _take(self, records: Iterator[Waiting]) -> None:
        stats = self.shared.stats
        for record, tree, key in records:
            if self._left is not None:
                self._left -= 1
                if self._left < self.last:
                    self._ending.set()
            if stats.ending:
                stats.unfinished = True
                return
            if isinstance(record, BadRow):
                stats.read += 1
                await self._write_bad(record)
                continue
            try:
                if tree:
                    await self._settle(record, tree, key)
                    continue
                stats.read += 1
                if not self._resume(record):
                    self.shared.journal.forget_rows(self.stage.index, record)
                    await self._settle(record, tree)
                elif stats.read % 64 == 0:
                    await asyncio.sleep(0)  # a long run of resumed records must let others move
            except Interrupted:
                stats.unfinished = True
                return
            except (RecursionError, TypeError, ValueError, OverflowError) as error:
                # Values that pass every check and still can't be digested or written: the record's fault alone.
                log.debug("record %s", record.id, exc_info=True)
                await self._write_bad(BadRow(record.id, f"can't be kept: {type(error).__name__}: {error}", record.seq))

    def _resume(self, record: Record) -> bool:
        """Takes a record over that an earlier run has finished."""
        key = self.stage.key(record, self.shared.retries)
        journal = self.shared.journal
        if not journal.finished(self.stage.index, record, key):
            return False
        journal.keep_rows(self.stage.index, record)
        self._count_settled(resumed=1)
        if self.target is not None:
            self.accepted += journal.count_done(self.stage.index, record)
        return True

    async def _settle(self, record: Record, tree: Tree, key: str | None = None) -> None:
        if key is None:
            key = self.stage.key(record, self.shared.retries)
        begun = record.fields
        state = await self._grow(record, 0, key, tree)
        if state == "parked":
            self._parked += 1
            waiting = Waiting(dataclasses.replace(record, fields=begun), tree, key)
            await self.shared.journal.park(self.stage.index, waiting)
        else:
            self._count_settled()

    def _count_settled(self, resumed: int = 0) -> None:
        """Counts source records once, in the first stage: there is one total."""
        if self.stage.index <= 0:
            self.shared.stats.settled += 1
            self.shared.stats.resumed += resumed

    async def _grow(self, record: Record, start: int, key: str | None, tree: Tree) -> str:
        """Takes a record and its children to their ends, or until all wait for engines that aren't loaded.

        Only the root has a key, and is written last: its row says that everything below it is final.

        Args:
            tree: how far the root and what is below it were before; brought up to date if anything is parked.

        Returns:
            `parked` if anything is, else `failed` if anything did, else the record's own state.
        """
        name = path_text(record.path)
        known = tree.get(name, {})
        if known.get("end") in ("done", "dropped", "failed"):
            return str(known["end"])
        way = _Way(self, record, start, known)
        end = await way.walk()
        states = [end.state]
        if end.children is not None:
            assert end.step is not None
            after = end.step + 1
            grown = await asyncio.gather(
                *(self._grow(child, after, None, tree) for child in end.children), return_exceptions=True
            )
            for item in grown:
                if isinstance(item, BaseException):
                    raise item
                states.append(item)
        if "parked" in states:
            tree[name] = way.progress()
            return "parked"
        self._count(end)
        if "failed" in states:
            key = None  # a failed record has no result, so the next run tries it again
        await self._write(record, end, key)
        tree[name] = {"end": "failed" if "failed" in states else end.state}
        return str(tree[name]["end"])

    def _count(self, end: End) -> None:
        stats = self.shared.stats
        if end.state == "done":
            self.accepted += 1
            return
        assert end.step is not None
        counted = stats.steps[self.stage.steps[end.step].name]
        if end.state == "failed":
            counted.failed += 1
            stats.failed += 1
        elif end.children:
            counted.done += 1
        else:
            counted.dropped += 1

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
        row = Row(self.stage.index, bad.id, bad.id, bad.seq, (), "failed", "source", bad.reason, {}, None)
        await self.shared.journal.write_rows([row])
        stats.failed += 1
        stats.settled += 1

    async def attempt(self, index: int, record: Record) -> Any:
        """Runs a step, as often as its attempts allow. Returns its outcome, or an End for a record that fails.

        Raises:
            EngineError: if the first records have all failed in this way.
        """
        name = self.stage.steps[index].name
        number = self.first_failures.begin(name)
        try:
            outcome = await self._attempt(index, record)
        except BaseException:  # interrupted, or parked until its engine is loaded
            self.first_failures.left_out(name, number)
            raise
        if outcome is _SKIPPED or (isinstance(outcome, End) and outcome.lacks_field):
            # Rows may lack a field that later ones have; no model was asked about them.
            self.first_failures.left_out(name, number)
        elif not isinstance(outcome, End):
            self.first_failures.passed(name)
        elif (stop := self.first_failures.failed(name, number, outcome.reason or "")) is not None:
            raise EngineError(stop)
        return outcome

    async def _attempt(self, index: int, record: Record) -> Any:
        step = self.stage.steps[index]
        stats = self.shared.stats.steps[step.name]
        base = self.shared.retries.get((record.id, step.name), 0) if self.shared.retries else 0
        reason = ""
        try:
            if step.condition is not None and not step.condition.test(record.fields):
                stats.passed_by += 1
                return _SKIPPED
            for number in range(step.config.attempts):
                if number:
                    stats.repeated += 1
                try:
                    context = StepContext(self.shared, step, record, base + number)
                    return self._checked(index, await step.run(record, context))
                except (Interrupted, Parked, EngineError, JournalError, RecordError):
                    raise
                except AskAgain as error:
                    reason = str(error)
                except Exception as error:  # a step's own bug fails the record that it met, not the run
                    log.debug("step %s failed on record %s", step.name, record.id, exc_info=True)
                    reason = f"{type(error).__name__}: {error}"
        except (Interrupted, Parked, EngineError, JournalError):
            raise
        except RecordError as error:
            return End("failed", index, str(error), lacks_field=isinstance(error, MissingField))
        tries = f" ({step.config.attempts} attempts)" if step.config.attempts > 1 else ""
        return End("failed", index, f"{reason}{tries}")

    def _checked(self, index: int, outcome: Any) -> Any:
        plain = type(outcome) is dict and all(type(value) in _PLAIN for value in outcome.values())
        if plain and outcome.keys() <= self._writes[index]:
            return outcome
        return self.checked(self.stage.steps[index], outcome)

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

    Its end is that of the first step, in the stage's order, that ends it, whichever is faster: so the outcome depends
    on the record alone, never on timing.

    Args:
        start: the steps before it were done by the record's parent.
        known: what an earlier pass has written, if the record was parked.
    """

    def __init__(self, scheduler: Scheduler, record: Record, start: int, known: Mapping[str, Any]) -> None:
        self.scheduler = scheduler
        self.stage = scheduler.stage
        self.record = record
        self.source = dict(record.fields)
        self.written: dict[int, Mapping[str, Any]] = {}
        self.done = (1 << start) - 1
        for number, fields in sorted((int(key), fields) for key, fields in known.get("written", {}).items()):
            self._take(number, fields)
        self.pending = [i for i in range(start, len(self.stage.steps)) if i not in self.written]
        self.running: dict[asyncio.Task[Any], int] = {}
        self.blocked: list[int] = []
        self.end: End | None = None
        # What got past a gate before is not tested against it again, on other fields perhaps.
        self.checks = [check for check in self.stage.checks if check.gate >= start and check.gate not in self.written]
        self.place = (len(self.stage.steps), 0)  # where the way ends: before this step, or at a check before it
        if ended := known.get("ended"):
            *place, state, step, reason, fields, items = ended
            self.place = (place[0], place[1])
            self.end = End(state, step, reason, fields, items)
        self.error: BaseException | None = None

    async def walk(self) -> End:
        try:
            self._check()
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
        if waiting := [i for i in self.blocked if i < self.limit]:
            self.scheduler.blocked[min(waiting)] += 1
            return End("parked")
        if self.end is None:
            return End("done", fields=self._fields(self.limit))
        end = dataclasses.replace(self.end)
        end.fields = self._fields(self.limit) | (end.fields or {})
        if end.items is not None:
            # Only now has every step before this one written what children inherit.
            assert end.step is not None
            removed = self.stage.steps[end.step].removes
            left = {name: value for name, value in end.fields.items() if name not in removed}
            parent = dataclasses.replace(self.record, fields=left)
            end.children = [parent.child(number, dict(fields)) for number, fields in enumerate(end.items)]
        return end

    @property
    def limit(self) -> int:
        return self.place[0]

    def progress(self) -> dict[str, Any]:
        """Returns what is to be known when the record is taken up again, as JSON values."""
        written = {str(number): fields for number, fields in self.written.items()}
        found: dict[str, Any] = {"written": written}
        if self.end is not None:
            end = self.end
            found["ended"] = [*self.place, end.state, end.step, end.reason, end.fields, end.items]
        return found

    def _take_ready(self) -> list[int]:
        waits = self.stage.waits
        ready = [i for i in self.pending if i < self.limit and not waits[i] & ~self.done]
        self.pending = [i for i in self.pending if i not in ready]
        return ready

    async def _move(self, ready: list[int]) -> None:
        """Starts what is ready and waits until something is finished."""
        calls = [i for i in ready if self.scheduler.calls[i]]
        for i in ready:
            if i not in calls:
                self._settle(i, await self.scheduler.attempt(i, self.record))
        if len(calls) < len(ready):
            self.pending = sorted(self.pending + calls)  # what was just written may have made more ready
            return
        if len(calls) == 1 and not self.running:
            try:
                self._settle(calls[0], await self.scheduler.attempt(calls[0], self.record))
            except Parked:
                self.blocked.append(calls[0])
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
            failure = task.exception()
            if isinstance(failure, Parked):
                self.blocked.append(i)
            elif failure is not None:
                self._abandon(failure)
            else:
                self._settle(i, task.result())

    def _abandon(self, error: BaseException) -> None:
        """The record stays pending; calls that are under way still finish, so that the journal has them."""
        self.error = self.error or error
        self.place = (-1, 0)

    def _take(self, i: int, fields: Mapping[str, Any]) -> None:
        self.written[i] = fields
        self.record.fields = {**self.record.fields, **fields}
        self.done |= 1 << i

    def _settle(self, i: int, outcome: Any) -> None:
        if isinstance(outcome, Mapping):
            self.scheduler.shared.stats.steps[self.stage.steps[i].name].done += 1
            self._take(i, outcome)
            self._check()
        elif isinstance(outcome, Drop):
            self._end(i, End("dropped", i, outcome.reason, dict(outcome.fields or {})))
        elif isinstance(outcome, End):
            self._end(i, outcome)
        elif not outcome:
            self._end(i, End("dropped", i, "no children"))
        else:
            self._end(i, End("expanded", i, f"{len(outcome)} children", items=list(outcome)))

    def _check(self) -> None:
        """Tests the conditions of later steps for which all is there."""
        for check in [check for check in self.checks if not check.after & ~self.done]:
            self.checks.remove(check)
            gate = self.stage.steps[check.gate]
            try:
                if gate.condition is not None and not gate.condition.test(self.record.fields):
                    continue
                if not check.condition.test(self.record.fields):
                    reason = failed_check(check.condition, self.record.fields)
                    self._end(check.position, End("dropped", check.gate, reason), check.number)
            except RecordError:  # the step itself will say so, unless another condition drops the record
                continue

    def _end(self, i: int, end: End, check: int = sys.maxsize) -> None:
        """The way ends at a step, or at a check that comes right before it."""
        if self.error is None and (i, check) < self.place:
            self.place = (i, check)
            self.end = end
            for task, index in self.running.items():
                if index >= i:
                    task.cancel()

    def _fields(self, limit: int) -> Fields:
        fields = dict(self.source)
        for i in sorted(self.written):
            if i < limit:
                fields |= self.written[i]
        return fields
