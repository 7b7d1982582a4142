"""What a run came to: its counts, and its datasets, from its journal."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mminf.engine.plan import StagePlan
from mminf.errors import OutputError
from mminf.image import ImagePolicy, read_image
from mminf.journal import Journal, Place
from mminf.part import Part
from mminf.recipe.model import Recipe
from mminf.record import Record
from mminf.registry import SINKS
from mminf.sink.base import Sink, Written
from mminf.sink.placing import Guard

log = logging.getLogger("mminf")


@dataclass(frozen=True, slots=True)
class Counts:
    """Records by what became of them; children count, the parents that they came from don't.

    Attributes:
        pending: source records that are not final; None where that isn't known.
        waiting: of a run that stands before a dataset step: records that have come so far.
    """

    done: int = 0
    dropped: int = 0
    failed: int = 0
    pending: int | None = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run came to.

    Attributes:
        state: `finished`, `interrupted` (run it again to go on), or `waiting` (for shards to go on).
        written: the datasets; empty after an interruption.
        failures: (id, step, reason) of the first five records that failed.
        calls: model calls in the journal, of all runs.
        shard: the part of the records that was run; None: all.
        stopped: why it was interrupted, if nobody asked for that.
    """

    state: str
    output: Path
    counts: Counts
    written: list[Written]
    failures: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    calls: int = 0
    shard: Part | None = None
    stopped: str | None = None

    @property
    def exit_code(self) -> int:
        """0 if anything was done, 1 if no record came to its end, 130 after an interruption, 3 at the end of a budget.

        A shard that is finished has 0: what it has none of, others may have.
        """
        if self.state == "interrupted":
            return 130 if self.stopped is None else 3
        return 0 if self.counts.done or self.shard is not None or self.state == "waiting" else 1


def open_sinks(recipe: Recipe, output: Path) -> list[Sink]:
    """Returns a recipe's sinks."""
    sinks = [SINKS.get(sink.type)(sink.config, output) for sink in recipe.sinks]
    made = frozenset[str]().union(*(step.writes for step in recipe.steps))
    for opened in sinks:
        opened.follow(made)
    return sinks


def tell_target(journal: Journal, stage: int, target: int) -> None:
    """Logs whether a run has reached its target."""
    last = journal.last_of(stage, target)
    if last is None:
        log.warning("all records are done, and fewer than the target of %d were accepted", target)
        return
    beyond = journal.settled_roots() - (last[0] + 1)
    log.info(
        "the target of %d is reached; %d records beyond it were under way, and are left out", target, max(0, beyond)
    )


@dataclass(frozen=True, slots=True)
class RunAssets:
    """What a run's records only name."""

    journal: Journal
    policy: ImagePolicy

    def vector(self, key: str) -> bytes | None:
        """Returns the bytes of an embedding, or None."""
        return self.journal.vector(key)

    def image(self, uri: str) -> bytes:
        """Returns an image's file. Raises ImageError."""
        return read_image(uri, self.policy)


def write_sinks(
    recipe: Recipe,
    output: Path,
    plan: list[StagePlan],
    journal: Journal,
    policy: ImagePolicy,
    *,
    guard: Guard,
) -> list[Written]:
    """Writes every dataset of a run from its journal.

    If the recipe has a target of N, the datasets end with the Nth accepted record in source order, so that they do not
    depend on how many more records the run has processed.

    Args:
        output: folder of the datasets.
        policy: which images sinks may read.
        guard: what they may replace.

    Raises:
        OutputError: if a dataset can't be written; those that were there before are still there then.
    """
    target = recipe.run.target
    last = journal.last_of(plan[-1].index, target) if target is not None else None
    assets = RunAssets(journal, policy)
    tokens = journal.kept_tokens()
    written = []
    for opened in open_sinks(recipe, output):
        opened.attach(assets)
        opened.escape(tokens)
        opened.protect(guard)
        try:
            written.append(opened.write(_SinkRecords(opened, plan, journal, last)))
        except OSError as error:
            raise OutputError(
                f"{opened.path} can't be written: {error.strerror or error}. Progress is saved in the journal: free "
                "some space or fix the folder, then run the same command: it writes the datasets and calls no model"
            ) from error
    return written


@dataclass(frozen=True, slots=True)
class _SinkRecords:
    """What a sink writes, streamed anew each time."""

    sink: Sink
    plan: list[StagePlan]
    journal: Journal
    last: Place | None

    def __iter__(self) -> Iterator[Record]:
        dropped_by = self.sink.config.dropped_by
        if dropped_by is None:
            rows = self.journal.rows(self.plan[-1].index)
        else:
            stage = next(stage.index for stage in self.plan if dropped_by in stage.names)
            rows = self.journal.rows(stage, states=("dropped",), step=dropped_by)
        for row in rows:
            if self.last is not None and (row.seq, row.path) > self.last:
                return
            yield row.record()


def last_wanted(journal: Journal) -> Place | None:
    """Returns the place of the last record that the journal's last run wanted, once it has reached its target."""
    stages = json.loads(journal.meta("stages") or "[]")
    target = json.loads(journal.meta("recipe") or "{}").get("target")
    finished = journal.meta("state") == "finished"
    return journal.last_of(len(stages) - 1, target) if target is not None and finished else None


def count_records(*journals: Journal) -> Counts:
    """Returns the counts of a journal's last run; up to its target, if it had one and reached it.

    Args:
        journals: of the run; those of its parts, which wait to be merged, behind it.
    """
    stages = json.loads(journals[0].meta("stages") or "[]")
    done = dropped = failed = 0
    come: Counter[int] = Counter()
    last = last_wanted(journals[0])
    for stage, state, _, number in (row for journal in journals for row in journal.counts(last)):
        come[stage] += number if state == "done" else 0
        if state == "done" and stage == len(stages) - 1:
            done += number
        elif state == "dropped":
            dropped += number
        elif state == "failed":
            failed += number
    total = json.loads(journals[0].meta("total") or "null")
    if last is not None:
        return Counts(done, dropped, failed, 0)
    settled = sum(journal.settled_roots() for journal in journals)
    front = max(come, default=0)
    waiting = come[front] if front < len(stages) - 1 else 0
    return Counts(done, dropped, failed, None if total is None else max(0, total - settled), waiting)
