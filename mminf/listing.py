"""Lists the records of a run that meet conditions, streamed from its journals."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

import jinja2

from mminf.arguments import listed
from mminf.engine.counts import count_records, last_wanted
from mminf.errors import JournalError, RecordError, UsageError, nearest
from mminf.journal import Journal, Row
from mminf.reasons import reason_form, step_types
from mminf.record import Fields
from mminf.sharding.journals import has_later_outcome, open_journals
from mminf.sharding.scan import scan_outcomes
from mminf.states import RecordStatus, RunState
from mminf.storage import to_path
from mminf.template import Expression

WAITING = "waiting"
"""The outcome of a record that is done in a stage, and that a later stage has not processed yet."""
OUTCOMES = (RecordStatus.DONE, RecordStatus.DROPPED, RecordStatus.FAILED)
_SOURCE = "source"
"""The step that is named for a row of the source that is not a record."""


class ListedRecord(TypedDict):
    """The outcome of a record: `done`, `dropped`, `failed`, or `waiting` for a later stage.

    `step` and `reason` are those of the step that dropped or failed it.
    """

    id: str
    stage: int
    state: str
    step: str | None
    reason: str | None
    fields: NotRequired[Fields]


class Listing:
    """The records of a run, each with its last outcome. A record that was replaced by its children is not listed.

    The order is that of the source. Records of shards that are not merged yet come after the others. Each iteration
    reads the journals; memory does not depend on the number of records.

    Args:
        output: output of a run, which may be active.
        outcomes: only records with one of these outcomes; all by default.
        step: only records that this step dropped or failed.
        reason: only records whose reason contains this text, in any case of letters; also a reason of `mminf status`,
            which lacks the values of a record.
        where: only records for which this expression over their fields is true.
        fields: yield the fields as well.

    Attributes:
        is_filtered: whether a condition was given.
        unevaluated: number of records that are not listed, because `where` could not be evaluated.
        problem: why, for the first of them.
        pending: number of source records that have no outcome yet; None if unknown.
        broken: number of rows of a damaged journal that can't be read, and are not listed.
        damage: what is wrong with the journal; None if nothing is.

    Raises:
        UsageError: if `where` is not an expression, or there is no such outcome.
    """

    def __init__(
        self,
        output: str | Path,
        *,
        outcomes: Sequence[str] = (),
        step: str | None = None,
        reason: str | None = None,
        where: str | None = None,
        fields: bool = False,
    ) -> None:
        self._output = output
        outcomes = listed(outcomes)
        known = [*(state.value for state in OUTCOMES), WAITING]
        for name in outcomes:
            if name not in known:
                raise UsageError(f"no outcome {name!r}{nearest(name, known)}")
        self._outcomes = frozenset(outcomes or known)
        self._step = step
        self._reason = None if reason is None else reason.casefold()
        self._where = None if where is None else _expression(where)
        self._fields = fields
        self.is_filtered = bool(outcomes) or (step, reason, where) != (None, None, None)
        self.unevaluated = 0
        self.problem: str | None = None
        self.pending: int | None = None
        self.broken = 0
        self.damage: str | None = None

    def __repr__(self) -> str:
        kind = "some records" if self.is_filtered else "the records"
        return f"<{kind} of {self._output}; iterate over them>"

    def __iter__(self) -> Iterator[ListedRecord]:
        """Yields the records.

        Raises:
            JournalError: if there is no run, or it has no such step.
        """
        self.unevaluated, self.problem = 0, None
        self.broken, self.damage = 0, None
        with open_journals(to_path(str(self._output))) as journals:
            main = journals[0]
            types = step_types(main.meta.recipe)
            self._check_step({*itertools.chain.from_iterable(main.meta.stages), *types, _SOURCE})
            last = last_wanted(main)
            self.pending = 0 if main.meta.state is RunState.FINISHED else count_records(*journals).pending
            for journal in journals:
                for row in self._read_journal(journal, range(-1, max(1, len(main.meta.stages)))):
                    if last is not None and (row.seq, row.path) > last:
                        break
                    if self._is_last(row, journals) and self._is_wanted(row, types):
                        yield self._listed(row, len(main.meta.stages))

    def _check_step(self, known: set[str]) -> None:
        if self._step is not None and self._step not in known:
            raise JournalError(f"the run has no step {self._step!r}{nearest(self._step, known)}")

    def _read_journal(self, journal: Journal, stages: range) -> Iterator[Row]:
        """Yields the rows with the wanted states and step, in source order; those that can't be read are counted."""
        try:
            journal.outcomes.check()  # a condition on a damaged value would hide its row
        except JournalError as error:
            self.damage = str(error)
            for scanned in scan_outcomes(journal, stages):
                self.broken += scanned.problem is not None
                row = scanned.row
                if row is None or row.state not in self._states(journal, row.stage, stages):
                    continue
                if self._step in (None, row.step):
                    yield row
            return
        with_fields = self._fields or self._where is not None
        streams = [
            journal.outcomes.rows(
                stage, states=self._states(journal, stage, stages), step=self._step, fields=with_fields
            )
            for stage in stages
        ]
        yield from heapq.merge(*streams, key=_position)

    def _states(self, journal: Journal, stage: int, stages: range) -> list[RecordStatus]:
        """Returns the wanted states of rows of a stage."""
        states = [state for state in OUTCOMES if state in self._outcomes]
        if stage == stages[-1]:
            return states
        # Records that are done continue in the next stage; in a run that has finished, all of them have.
        states = [state for state in states if state is not RecordStatus.DONE]
        if WAITING in self._outcomes and journal.meta.state not in (RunState.FINISHED, RunState.WRITING):
            states.append(RecordStatus.DONE)
        return states

    def _is_last(self, row: Row, journals: Sequence[Journal]) -> bool:
        """Returns whether a row is the last outcome of its record."""
        if row.state is not RecordStatus.DONE or row.stage >= len(journals[0].meta.stages) - 1:
            return True
        return not has_later_outcome(journals, row)

    def _is_wanted(self, row: Row, types: Mapping[str, str]) -> bool:
        if self._reason is not None and not _has_reason(row, self._reason, types):
            return False
        if self._where is None:
            return True
        try:
            return self._where.test(row.fields)
        except RecordError as error:
            self.unevaluated += 1
            self.problem = self.problem or f"{row.id}: {error}"
            return False

    def _listed(self, row: Row, stages: int) -> ListedRecord:
        waits = row.state is RecordStatus.DONE and row.stage < stages - 1
        found = ListedRecord(
            id=row.id, stage=row.stage, state=WAITING if waits else row.state.value, step=row.step, reason=row.reason
        )
        if self._fields:
            found["fields"] = row.fields
        return found


def list_records(
    output: str | Path,
    *,
    outcomes: Sequence[str] = (),
    step: str | None = None,
    reason: str | None = None,
    where: str | None = None,
    fields: bool = False,
) -> Listing:
    """Returns the records of a run that meet all conditions, to iterate over; see `Listing`.

    Args:
        outcomes: `done`, `dropped`, `failed` or `waiting`; all by default.
        step: the step that dropped or failed the records.
        reason: a text in the reason.
        where: an expression over the fields.
        fields: yield the fields as well.

    Raises:
        UsageError: if `where` is not an expression; an iteration raises JournalError if there is no run.
    """
    return Listing(output, outcomes=outcomes, step=step, reason=reason, where=where, fields=fields)


def _position(row: Row) -> tuple[int, tuple[int, ...], int]:
    return row.seq, row.path, row.stage


def _has_reason(row: Row, wanted: str, types: Mapping[str, str]) -> bool:
    reason = row.reason or ""
    if wanted in reason.casefold():
        return True
    statement = row.state is RecordStatus.DROPPED and types.get(row.step or "") == "keep"
    return wanted in reason_form(reason, statement=statement).casefold()


def _expression(source: str) -> Expression:
    try:
        return Expression(source)
    except jinja2.TemplateSyntaxError as error:
        raise UsageError(f"{source!r} is not an expression over the fields of a record: {error.message}") from error
