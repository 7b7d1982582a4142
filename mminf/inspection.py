"""Reads the journals of a run (status, failures, history of a record), and lists recipes and registered members.

All results are JSON values with a type, for the command line, the Python API and the report alike.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from mminf.content import builtin_recipes
from mminf.cost.refine import CostStatus, run_costs
from mminf.engine.result import count_reasons, count_records, last_wanted
from mminf.errors import JournalError
from mminf.journal import CallHistory as CallHistory
from mminf.journal import FailedRecord, Journal, Row, RunMeta, Totals, is_locked
from mminf.journal.codec import clean
from mminf.journal.folders import shard_folder
from mminf.journal.memo import add_totals
from mminf.journal.remote_lock import is_held
from mminf.journal.schema import LOG
from mminf.plugin import discover
from mminf.recipe.lines import load_document
from mminf.record import Fields
from mminf.registry import BACKENDS, SINKS, SOURCES, STEPS
from mminf.sharding.journals import open_journals
from mminf.sharding.overlay import ShardJournal
from mminf.states import RecordStatus, RunState
from mminf.storage import is_remote, to_path

SHOWN_FAILURES = 20
SIMILAR = 5
"""Maximum number of similar ids that the error of an unknown record names."""
MOST_COMPARED = 5000
"""About the number of ids that are compared with an unknown id."""


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
    """The number of rows that a step dropped or failed for the same reason, with other values."""

    step: str
    state: RecordStatus
    reason: str
    rows: int


class DatasetStatus(TypedDict):
    """A dataset of a run. `rows` is None until it is written."""

    path: str
    rows: int | None
    exists: bool


class RunStatus(TypedDict):
    """The status of a run.

    `total` and `pending` count records of the source; `done`, `dropped` and `failed` count rows: of a source record
    that was replaced by its children, the children are counted. `started_at` is in seconds since 1970, and `seconds` is
    the duration of the last run up to now or to its end; None if unknown. `stages` has the names of the steps of each
    stage, in order. `waiting` is the number of records that are done so far, if the run waits for a dataset step.
    `reasons` is in the order of the steps, the largest number first. `log` is the name of the log in
    the output folder, if there is one. `parts` has the states of the shards that wait to be merged, by name.
    `cost` is the cost of all runs into the output so far; `expected_cost` is that of the whole run, in proportion to
    the final records, or None if it can't be estimated.
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
        return RunStatus(
            recipe=first.meta.recipe_name,
            state=state,
            run=first.meta.run,
            started_at=first.meta.started_at,
            seconds=_elapsed(first.meta, state),
            total=first.meta.total,
            done=counts.done,
            dropped=counts.dropped,
            failed=counts.failed,
            waiting=counts.waiting,
            pending=counts.pending,
            stages=first.meta.stages,
            steps=_steps(journals),
            reasons=[
                ReasonStatus(step=found.step, state=found.state, reason=found.form, rows=found.rows)
                for found in count_reasons(*journals)
            ],
            failures=[_failure(item) for item in itertools.islice(failures, SHOWN_FAILURES)],
            datasets=[
                DatasetStatus(path=name, rows=rows, exists=(path / name).exists())
                for name, rows in first.meta.datasets.items()
            ],
            log=LOG if (path / LOG).is_file() else None,
            parts={
                journal.folder.name: _state(journal, store) for journal in journals if isinstance(journal, ShardJournal)
            },
            versions=first.meta.versions,
            cost=cost,
            expected_cost=expected,
        )


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
    """Returns calls by record, then in the order of the steps.

    Args:
        stages: names of the steps of each stage.
    """
    order = {name: n for n, name in enumerate(itertools.chain.from_iterable(stages))}
    return sorted(
        calls,
        key=lambda call: (
            call["record"],
            order.get(call["step"], -1),
            call["run"],
            call["attempt"],
            call["sample"],
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


def read_recipe(output: str | Path) -> dict[str, Any]:
    """Returns the recipe of a run as JSON values, with its profile and settings applied.

    Raises:
        JournalError: if there is no run.
    """
    with open_journals(to_path(str(output))) as journals:
        return journals[0].meta.recipe


def list_members(plugins: Iterable[str] = ()) -> dict[str, dict[str, str]]:
    """Returns the members that recipes can name, by kind, each with the first line of its documentation."""
    discover(plugins)
    registries = {"steps": STEPS, "backends": BACKENDS, "sources": SOURCES, "sinks": SINKS}
    return {kind: {name: _first_line(registry.get(name)) for name in registry} for kind, registry in registries.items()}


def list_recipes() -> dict[str, str]:
    """Returns the bundled recipes, each with its description."""
    lines = {}
    for name, path in builtin_recipes().items():
        data = load_document(path).data or {}
        lines[name] = str(data.get("description", ""))
    return lines


def _first_line(item: object) -> str:
    return (item.__doc__ or "").strip().partition("\n")[0]
