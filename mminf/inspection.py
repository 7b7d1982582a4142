"""Reads the journals of a run (status, failures, history of a record), and lists recipes and registered members.

All results are JSON values with a type, for the command line, the Python API and the report alike.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from mminf.cost.refine import CostStatus, run_costs
from mminf.engine.counts import count_reasons, count_records, last_wanted
from mminf.engine.output import read_exported
from mminf.journal import CallHistory as CallHistory
from mminf.journal import FailedRecord, Journal, RunMeta, Totals, is_locked
from mminf.journal.folders import shard_folder
from mminf.journal.kept import read_kept, written_at
from mminf.journal.memo import add_totals
from mminf.journal.remote_lock import is_held
from mminf.journal.schema import LOG
from mminf.sharding.journals import open_journals
from mminf.sharding.overlay import ShardJournal
from mminf.states import RecordStatus, RunState
from mminf.storage import is_remote, to_path

SHOWN_FAILURES = 20


class FailureStatus(TypedDict):
    """A record that failed."""

    id: str
    step: str | None
    reason: str | None


class StepStatus(TypedDict):
    """Counts of a step. The calls are those of all runs; a step without calls lacks them."""

    dropped: int
    failed: int
    calls: NotRequired[int]
    prompt_tokens: NotRequired[int]
    completion_tokens: NotRequired[int]
    seconds: NotRequired[float]


class ReasonStatus(TypedDict):
    """The number of rows that a step dropped or failed for the same reason, with other values, and one of these."""

    step: str
    state: RecordStatus
    reason: str
    rows: int
    example: str


class DatasetStatus(TypedDict):
    """A dataset of a run.

    `rows` is None until it is written. If it is of an earlier run, and was kept because it is larger, `instead` is the
    path that the last run has written.
    """

    path: str
    rows: int | None
    exists: bool
    instead: str | None


class RunStatus(TypedDict):
    """The status of a run.

    `total` and `pending` count records of the source; `done`, `dropped` and `failed` count rows: of a source record
    that was replaced by its children, the children are counted. `started_at` is in seconds since 1970, and `seconds` is
    the duration of the last run up to now or to its end; None if unknown. `stages` has the names of the steps of each
    stage, in order. `waiting` is the number of records that have passed a stage, and that the next one has not
    processed; `waiting_after` has their numbers by stage. `reasons` is in the order of the steps, the largest
    number first. `log` is the name of the log in the output folder, if there is one. `parts` has the states of the
    shards that wait to be merged, by name. `cost` is the cost of all runs into the output so far; `expected_cost`
    is that of the whole run, in proportion to the final records, or None if it can't be estimated. `gpu_hours` are
    those of all runs that were not killed. `error` is the error that ended the last run, or None.
    """

    recipe: str | None
    state: RunState | None
    run: int
    started_at: float | None
    seconds: float | None
    total: int | None
    done: int
    dropped: int
    failed: int
    waiting: int
    waiting_after: list[int]
    pending: int | None
    stages: list[list[str]]
    steps: dict[str, StepStatus]
    reasons: list[ReasonStatus]
    failures: list[FailureStatus]
    datasets: list[DatasetStatus]
    log: str | None
    parts: dict[str, RunState | None]
    versions: dict[str, str]
    cost: CostStatus
    expected_cost: CostStatus | None
    gpu_hours: float
    error: str | None


def run_status(output: str | Path) -> RunStatus:
    """Returns the status of a run, also while it runs.

    Raises:
        JournalError: if there is no run.
    """
    path = to_path(str(output))
    with open_journals(path) as journals:
        first = journals[0]
        store = path if is_remote(path) else None
        counts = count_records(*journals)
        failures = itertools.chain.from_iterable(journal.outcomes.failures(SHOWN_FAILURES) for journal in journals)
        known = first.meta.total
        final = 0 if counts.pending is None or known is None else known - counts.pending
        totals = add_totals(journal.memo.totals() for journal in journals)
        cost, expected = run_costs(first.meta.recipe, totals, final, known)
        state = _whole_state([_state(journal, store) for journal in journals])
        total, pending = _records(first, counts.pending, state)
        return RunStatus(
            recipe=first.meta.recipe_name,
            state=state,
            run=first.meta.run,
            started_at=first.meta.started_at,
            seconds=_elapsed(first.meta, state),
            total=total,
            done=counts.done,
            dropped=counts.dropped,
            failed=counts.failed,
            waiting=counts.waiting,
            waiting_after=list(counts.waiting_after),
            pending=pending,
            stages=first.meta.stages,
            steps=_steps(journals),
            reasons=[
                ReasonStatus(
                    step=found.step, state=found.state, reason=found.form, rows=found.rows, example=found.example
                )
                for found in count_reasons(*journals)
            ],
            failures=[_failure(item) for item in itertools.islice(failures, SHOWN_FAILURES)],
            datasets=_datasets(path, first.meta),
            log=LOG if (path / LOG).is_file() else None,
            parts={
                journal.folder.name: _state(journal, store) for journal in journals if isinstance(journal, ShardJournal)
            },
            versions=first.meta.versions,
            cost=cost,
            expected_cost=expected,
            error=first.meta.error,
            gpu_hours=sum(journal.meta.gpu_seconds() for journal in journals) / 3600,
        )


def _records(journal: Journal, pending: int | None, state: RunState | None) -> tuple[int | None, int | None]:
    """Returns the numbers of source records and of those that wait; None if they are not known."""
    if journal.meta.total is None and state is RunState.FINISHED:  # the input was read to its end
        return journal.outcomes.count_final(), 0
    return journal.meta.total, pending


def _datasets(output: Path, meta: RunMeta) -> list[DatasetStatus]:
    """Returns the datasets of the runs, some of which an export may have replaced since."""
    kept = read_kept(meta)
    since = written_at(meta) or meta.ended_at or 0.0
    exported = {} if is_remote(output) else read_exported(output)
    newer = {name: found.rows for name, found in exported.items() if found.at is not None and found.at > since}
    return [
        DatasetStatus(
            path=name,
            rows=newer.get(name, rows),
            exists=(output / name).exists(),
            instead=None if name in newer else kept.datasets.get(name),
        )
        for name, rows in meta.datasets.items()
        if name not in kept.outdated
    ]


def _elapsed(meta: RunMeta, state: RunState | None) -> float | None:
    """Returns the duration of the last run; None if it was killed at an unknown time."""
    end = time.time() if state in (RunState.RUNNING, RunState.WRITING) else meta.ended_at
    return None if end is None or meta.started_at is None else max(0.0, end - meta.started_at)


def _steps(journals: Sequence[Journal]) -> dict[str, StepStatus]:
    names = itertools.chain.from_iterable(journals[0].meta.stages)
    steps = {name: StepStatus(dropped=0, failed=0) for name in names}
    for journal in journals:
        for count in journal.outcomes.counts(last_wanted(journal)):
            if count.step is None:
                continue
            step = steps.setdefault(count.step, StepStatus(dropped=0, failed=0))
            if count.state is RecordStatus.DROPPED:
                step["dropped"] += count.number
            elif count.state is RecordStatus.FAILED:
                step["failed"] += count.number
    for name, total in add_totals(journal.memo.totals() for journal in journals).items():
        _add_calls(steps.setdefault(name, StepStatus(dropped=0, failed=0)), total)
    return steps


def _add_calls(step: StepStatus, total: Totals) -> None:
    step["calls"] = total.calls
    step["prompt_tokens"] = total.prompt_tokens
    step["completion_tokens"] = total.completion_tokens
    step["seconds"] = total.seconds


def _whole_state(states: Sequence[RunState | None]) -> RunState | None:
    """Returns the state of a run from those of its journals: `interrupted` if all shards were stopped properly."""
    shards = set(states[1:])
    stopped = bool(shards) and shards <= {RunState.INTERRUPTED, RunState.FINISHED}
    return RunState.INTERRUPTED if states[0] is RunState.KILLED and stopped else states[0]


def _state(journal: Journal, store: Path | None) -> RunState | None:
    """Returns the state of a run; `killed` if its journal says that it is running, but no process holds its lock."""
    state = journal.meta.state
    if state not in (RunState.RUNNING, RunState.WRITING):
        return state
    if store is not None and isinstance(journal, ShardJournal):
        store = shard_folder(store, journal.shard)
    held = is_locked(journal.folder) or (store is not None and is_held(store))
    return state if held else RunState.KILLED


def list_failures(output: str | Path) -> Iterator[FailureStatus]:
    """Yields every record of a run that failed, streamed.

    Raises:
        JournalError: if there is no run.
    """
    with open_journals(to_path(str(output))) as journals:
        for journal in journals:
            for failure in journal.outcomes.failures():
                yield _failure(failure)


def _failure(failure: FailedRecord) -> FailureStatus:
    return FailureStatus(id=failure.id, step=failure.step, reason=failure.reason)


def read_recipe(output: str | Path) -> dict[str, Any]:
    """Returns the recipe of a run as JSON values, with its profile and settings applied.

    Raises:
        JournalError: if there is no run.
    """
    with open_journals(to_path(str(output))) as journals:
        return journals[0].meta.recipe
