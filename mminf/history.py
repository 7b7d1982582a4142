"""Reads what happened to the records of a run: their outcomes and their calls."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypedDict

from mminf.errors import JournalError
from mminf.journal import CallHistory as CallHistory
from mminf.journal import Journal, Row
from mminf.journal.codec import clean
from mminf.record import Fields
from mminf.sharding.journals import open_journals
from mminf.states import RecordStatus
from mminf.storage import to_path

SIMILAR = 5
"""Maximum number of similar ids that the error of an unknown record names."""
MOST_COMPARED = 5000
"""About the number of ids that are compared with an unknown id."""


class OutcomeHistory(TypedDict):
    """The outcome of a record, or of one of its children, in a stage."""

    id: str
    stage: int
    state: RecordStatus
    step: str | None
    reason: str | None
    fields: Fields


class RecordHistory(TypedDict):
    """All outcomes and calls of a record and its children."""

    id: str
    outcomes: list[OutcomeHistory]
    calls: list[CallHistory]


def record_history(output: str | Path, record: str) -> RecordHistory:
    """Returns a record's whole history: its outcomes, its fields, every prompt and raw answer.

    Raises:
        JournalError: if there is no such run or record.
    """
    record = clean(record)  # as the journal stores it
    with open_journals(to_path(str(output))) as journals:
        rows = [row for journal in journals for row in journal.outcomes.find(record)]
        calls = sort_calls(
            itertools.chain.from_iterable(journal.memo.calls(record) for journal in journals), journals[0].meta.stages
        )
        if not rows and not calls:
            like = _similar_ids(journals, record)
            hint = f"; similar ids: {', '.join(like)}" if like else "; `mminf list` lists the records"
            raise JournalError(f"no record {record!r} in {output}{hint}")
        return RecordHistory(id=record, outcomes=[_outcome(row) for row in rows], calls=calls)


def _similar_ids(journals: Sequence[Journal], record: str) -> list[str]:
    """Returns ids that contain an unknown id, or are similar to it."""
    part = record.strip().removeprefix("…")  # as `mminf list` shortens a long id
    like = [name for journal in journals for name in journal.outcomes.ids_like(part, SIMILAR)] if part else []
    if like:
        return like[:SIMILAR]
    from rapidfuzz import process

    # The longest common beginning first: of a million records, only some thousand are compared.
    known: set[str] = set()
    for length in range(len(part), -1, -1):
        for journal in journals:
            known.update(journal.outcomes.ids_from(part[:length], MOST_COMPARED))
        if len(known) >= MOST_COMPARED:
            break
    return [name for name, *_ in process.extract(part, sorted(known), limit=SIMILAR, score_cutoff=70)]


def sort_calls(calls: Iterable[CallHistory], stages: Sequence[Sequence[str]]) -> list[CallHistory]:
    """Returns calls by record, then in the order of the steps, and those of a sample together.

    Args:
        stages: names of the steps of each stage.
    """
    order = {name: n for n, name in enumerate(itertools.chain.from_iterable(stages))}
    return sorted(
        calls,
        key=lambda call: (
            call["record"],
            order.get(call["step"], -1),
            call["sample"],
            call["run"],
            call["attempt"],
        ),
    )


def _outcome(row: Row) -> OutcomeHistory:
    return OutcomeHistory(
        id=row.id, stage=row.stage, state=row.state, step=row.step, reason=row.reason, fields=row.fields
    )


def read_outcomes(output: str | Path) -> Iterator[OutcomeHistory]:
    """Yields the outcomes of all records of a run, in the form that `mminf show --json` prints for one record.

    The order is by stage, then by source order. A record that later stages continue has an outcome in
    each of them.

    Raises:
        JournalError: if there is no run.
    """
    wanted = (RecordStatus.DONE, RecordStatus.DROPPED, RecordStatus.FAILED)
    with open_journals(to_path(str(output))) as journals:
        for stage in range(len(journals[0].meta.stages)):
            for journal in journals:
                yield from (_outcome(row) for row in journal.outcomes.rows(stage, states=wanted))
