"""Counts the records of a run by their outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mminf.journal import Journal, Place
from mminf.reasons import ReasonGroup, group_reasons, step_types
from mminf.states import RecordStatus, RunState


@dataclass(frozen=True, slots=True)
class Counts:
    """Records by outcome; children count, their parents don't.

    Attributes:
        pending: source records that are not final; None if unknown.
        waiting_after: for each stage but the last one, records that have passed it, and that the next one has not
            processed.
    """

    done: int = 0
    dropped: int = 0
    failed: int = 0
    pending: int | None = 0
    waiting_after: Sequence[int] = ()

    @property
    def waiting(self) -> int:
        """Number of records that wait for a later stage."""
        return sum(self.waiting_after)


def last_wanted(journal: Journal) -> Place | None:
    """Returns the position of the last record up to the target of a finished run; None if it has no such record."""
    meta = journal.meta
    if (target := meta.target) is None or meta.state is not RunState.FINISHED:
        return None
    return journal.outcomes.nth_done(len(meta.stages) - 1, target)


def outcomes_digest(journal: Journal) -> str:
    """Returns a digest of the records of the last run, up to its target: datasets of equal digests are equal."""
    return journal.outcomes.digest(last_wanted(journal))


def count_reasons(*journals: Journal) -> list[ReasonGroup]:
    """Returns why records were dropped and failed, up to the target as in `count_records`.

    Args:
        journals: journal of the run, and those of its shards that are not merged yet.
    """
    meta = journals[0].meta
    types = {name: "" for stage in meta.stages for name in stage} | step_types(meta.recipe)
    last = last_wanted(journals[0])
    return group_reasons((count for journal in journals for count in journal.outcomes.reasons(last)), types)


def count_records(*journals: Journal) -> Counts:
    """Returns the counts of a journal's last run, up to its target if it has reached one.

    Args:
        journals: journal of the run, and those of its shards that are not merged yet.
    """
    first = journals[0]
    last_stage = len(first.meta.stages) - 1
    last = last_wanted(first)
    found: Counter[RecordStatus] = Counter()
    done: Counter[int] = Counter()
    for count in (count for journal in journals for count in journal.outcomes.counts(last)):
        found[count.state] += count.number
        done[count.stage] += count.number if count.state is RecordStatus.DONE else 0
    dropped, failed = found[RecordStatus.DROPPED], found[RecordStatus.FAILED]
    if last is not None:
        return Counts(done[last_stage], dropped, failed)
    total = first.meta.total
    pending = None if total is None else max(0, total - sum(journal.outcomes.count_final() for journal in journals))
    return Counts(done[last_stage], dropped, failed, pending, _count_waiting(journals, done, last_stage))


def _count_waiting(journals: Sequence[Journal], done: Counter[int], last_stage: int) -> Sequence[int]:
    """Returns by stage how many records are done in it, and not processed by the next one."""
    if len(journals) == 1:
        if journals[0].meta.state is RunState.FINISHED:
            return ()
        return [journals[0].outcomes.count_waiting(stage) if done[stage] else 0 for stage in range(last_stage)]
    # The shards of a phase work on one stage.
    front = max(done, default=0)
    return [done[stage] if stage == front else 0 for stage in range(last_stage)]
