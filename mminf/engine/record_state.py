"""The state of one record in a stage: which steps are ready, what an outcome does, where the record ends. No I/O.

A record ends at the first step, in the stage's order, that ends it, even if another is faster. So its result depends on
the record alone, never on timing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mminf.engine.outcome import Result, StepFailure, StepOutcome
from mminf.engine.plan import StageCheck, StagePlan
from mminf.errors import RecordError
from mminf.journal import StepProgress
from mminf.record import Fields, Json, Record
from mminf.states import RecordStatus
from mminf.step.base import Drop
from mminf.step.outcome import is_fields
from mminf.template import false_statement

_AT_STEP = sys.maxsize
"""Number of the end by a step itself: the checks at the same position come before it."""


@dataclass(frozen=True, slots=True)
class _End:
    """The end of the record.

    Attributes:
        place: (step before which it ends, number of the check); the smallest wins.
        step: the step that is named as the reason.
        fields: fields that the step wrote when it ended the record.
        items: new fields of each child.
    """

    place: tuple[int, int]
    state: RecordStatus
    step: int
    reason: str
    fields: Mapping[str, Json]
    items: Sequence[Mapping[str, Json]] | None = None

    def dump(self) -> list[Json]:
        items = None if self.items is None else [dict(item) for item in self.items]
        return [*self.place, self.state, self.step, self.reason, dict(self.fields), items]

    @classmethod
    def load(cls, values: Sequence[Any]) -> _End:
        step, check, state, named, reason, fields, items = values
        return cls((step, check), RecordStatus(state), named, reason, fields or {}, items)


class RecordState:
    """One record on its path through a stage.

    Args:
        record: as it entered the stage.
        start: the steps before it were done by the record's parent.
        known: what `progress` returned when the record was parked.

    Attributes:
        record: as the steps see it now; replaced by a new record when a step has written.
        limit: steps from this one on are not needed: the record ends before them.
    """

    def __init__(self, stage: StagePlan, record: Record, start: int = 0, known: StepProgress | None = None) -> None:
        known = known or StepProgress()
        self._stage = stage
        self._entered = record
        self._written: dict[int, Mapping[str, Json]] = {}
        self._done = (1 << start) - 1
        self._blocked: list[int] = []
        self._end: _End | None = None
        self._abandoned = False
        self.record = record
        for number, fields in sorted((int(key), fields) for key, fields in known.get("written", {}).items()):
            self._write(number, fields)
        self._pending = [step for step in range(start, len(stage.steps)) if step not in self._written]
        # A record that passed a gate is not tested again; its fields may have changed since.
        self._checks = [check for check in stage.checks if check.gate >= start and check.gate not in self._written]
        if ended := known.get("ended"):
            self._end = _End.load(ended)
        self._check()

    @property
    def limit(self) -> int:
        if self._abandoned:
            return -1
        return len(self._stage.steps) if self._end is None else self._end.place[0]

    def take_ready(self) -> list[int]:
        """Returns the steps that can run now; each is returned once."""
        if not self._pending:
            return []
        waits, limit, missing = self._stage.waits, self.limit, ~self._done
        ready = [step for step in self._pending if step < limit and not waits[step] & missing]
        self._pending = [step for step in self._pending if step not in ready]
        return ready

    def put_back(self, steps: Iterable[int]) -> None:
        """Takes back steps that `take_ready` returned and that were not started."""
        self._pending = sorted([*self._pending, *steps])

    def settle(self, step: int, outcome: StepOutcome) -> None:
        """Applies the outcome of a step."""
        if is_fields(outcome):
            self._write(step, outcome)
            self._check()
        elif isinstance(outcome, Drop):
            self._end_at(_End((step, _AT_STEP), RecordStatus.DROPPED, step, outcome.reason, outcome.fields or {}))
        elif isinstance(outcome, StepFailure):
            self._end_at(_End((step, _AT_STEP), RecordStatus.FAILED, step, outcome.reason, {}))
        elif isinstance(outcome, Sequence) and outcome:
            items = [dict(item) for item in outcome]
            self._end_at(_End((step, _AT_STEP), RecordStatus.EXPANDED, step, f"{len(items)} children", {}, items))
        elif isinstance(outcome, Sequence):
            self._end_at(_End((step, _AT_STEP), RecordStatus.DROPPED, step, "no children", {}))
        else:  # skipped
            self._write(step, {})
            self._check()

    def block(self, step: int) -> None:
        """Notes that a step's engine is not loaded."""
        self._blocked.append(step)

    def abandon(self) -> None:
        """Starts no more steps: the record stays pending."""
        self._abandoned = True

    def result(self) -> Result:
        """Returns the result of the record, once no step is ready or running."""
        if waiting := [step for step in self._blocked if step < self.limit]:
            return Result(RecordStatus.PARKED, self.record.fields, waits_for=min(waiting))
        fields = self._fields_at(self.limit)
        if self._end is None:
            return Result(RecordStatus.DONE, fields)
        end = self._end
        fields |= end.fields
        children = None if end.items is None else self._children(end, fields)
        return Result(end.state, fields, end.step, end.reason, children)

    def progress(self) -> StepProgress:
        """Returns the progress that is needed to continue a parked record, as JSON values."""
        written = {str(number): dict(fields) for number, fields in self._written.items()}
        return (
            StepProgress(written=written)
            if self._end is None
            else StepProgress(written=written, ended=self._end.dump())
        )

    def _children(self, end: _End, fields: Fields) -> list[Record]:
        # Now every earlier step has written its fields, which children inherit.
        removed = self._stage.steps[end.step].removes
        parent = replace(self._entered, fields={name: value for name, value in fields.items() if name not in removed})
        return [parent.child(number, dict(item)) for number, item in enumerate(end.items or ())]

    def _write(self, step: int, fields: Mapping[str, Json]) -> None:
        self._written[step] = fields
        self._done |= 1 << step
        if fields:
            record = self.record
            self.record = Record(record.id, {**record.fields, **fields}, record.seq, record.path, record.root)

    def _fields_at(self, limit: int) -> Fields:
        fields = dict(self._entered.fields)
        for step in sorted(self._written):
            if step < limit:
                fields |= self._written[step]
        return fields

    def _check(self) -> None:
        """Tests the conditions of later steps whose fields are available."""
        if not self._checks:
            return
        for check in [check for check in self._checks if not check.after & ~self._done]:
            self._checks.remove(check)
            if (reason := self._reason_to_drop(check)) is not None:
                place = (check.position, check.number)
                self._end_at(_End(place, RecordStatus.DROPPED, check.gate, reason, {}))

    def _reason_to_drop(self, check: StageCheck) -> str | None:
        fields, gate = self.record.fields, self._stage.steps[check.gate]
        try:
            if gate.condition is not None and not gate.condition.test(fields):
                return None
            return None if check.condition.test(fields) else false_statement(check.condition, fields)
        except RecordError:  # the step itself reports the error, unless another condition drops the record
            return None

    def _end_at(self, end: _End) -> None:
        if self._end is None or end.place < self._end.place:
            self._end = end
