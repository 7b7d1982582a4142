"""The result of a run: its counts, and its datasets, from its journal."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from mminf.engine.counts import Counts, count_reasons, count_records
from mminf.engine.plan import RunPlan
from mminf.engine.run_log import file_log
from mminf.engine.split import Splitter
from mminf.errors import ImageError, OutputError, nearest, reason_of, shorten_text
from mminf.image import ImagePolicy, looks_like_image_bytes, read_image
from mminf.journal import FailedRecord, Journal, Place, Row
from mminf.layout import amount
from mminf.marks import MarkColumns
from mminf.output_names import part_path
from mminf.recipe.model import Recipe
from mminf.record import Record
from mminf.registry import SINKS
from mminf.shard import Shard
from mminf.sink.base import Sink, Written
from mminf.sink.placing import Guard
from mminf.states import RecordStatus, RunState

if TYPE_CHECKING:
    from datasets import Dataset

log = logging.getLogger("mminf")
MOST_LOGGED = 100
"""Maximum number of reasons that the log of a run lists."""
FEW = 5
"""Maximum number of failures that a result lists."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of a run.

    Attributes:
        state: `finished`, `interrupted` (run it again to resume), or `waiting` (run the shards again).
        written: the datasets; empty after an interruption.
        failures: (id, step, reason) of the first five records that failed.
        calls: model calls in the journal, of all runs.
        shard: the shard that was run; None: all records.
        stopped: why the run was interrupted, if not by the user.
    """

    state: RunState
    output: Path
    counts: Counts
    written: Sequence[Written] = ()
    failures: list[FailedRecord] = field(default_factory=list)
    calls: int = 0
    shard: Shard | None = None
    stopped: str | None = None

    @classmethod
    def of(
        cls,
        state: RunState,
        output: Path,
        journals: Sequence[Journal],
        *,
        written: Sequence[Written] = (),
        shard: Shard | None = None,
        stopped: str | None = None,
    ) -> RunResult:
        """Returns the result of a run from its journals.

        Args:
            journals: the main one, and those of shards that wait to be merged.
        """
        calls = sum(total.calls for journal in journals for total in journal.memo.totals().values())
        failures = [failure for journal in journals for failure in journal.outcomes.failures(FEW)]
        counts = count_records(*journals)
        return cls(state, output, counts, written, failures[:FEW], calls, shard, stopped)

    def dataset(self, name: str | None = None) -> Dataset:
        """Returns a dataset that the run has written, as a dataset of Hugging Face.

        Args:
            name: its path below the output, or its name without the ending; the first one by default.
                A part of a divided dataset has its own path.

        Raises:
            OutputError: if there is no such dataset, or its format is not one of rows.
        """
        from mminf.engine.rows import read_rows

        names = {str(written.path): written for written in self.written}
        if not names:
            raise OutputError(f"{self.output} has no dataset of this run, which is {self.state}")
        chosen = next(iter(names)) if name is None else name
        stems = [path for path in names if PurePosixPath(path).stem == chosen]
        if chosen not in names and len(stems) == 1:
            chosen = stems[0]
        if chosen not in names:
            raise OutputError(f"the run has written no dataset {chosen!r}{nearest(chosen, names)}")
        return read_rows(self.output / chosen)

    @property
    def exit_code(self) -> int:
        """0 if any record is done, 1 if none is, 130 after an interruption, 3 if the budget is used up.

        The code of a finished shard is 0, because other shards may have records that are done.
        """
        if self.state == RunState.INTERRUPTED:
            return 130 if self.stopped is None else 3
        return 0 if self.counts.done or self.shard is not None or self.state == RunState.WAITING else 1


class Opened(NamedTuple):
    """A sink that writes a dataset, or a part of one.

    Attributes:
        whole: path of the dataset in the recipe.
        part: name of the part; None if the dataset is not divided.
    """

    sink: Sink
    whole: Path
    part: str | None


def log_result(result: RunResult, journals: Sequence[Journal]) -> None:
    """Writes the end of a run to its log: datasets, why records were dropped and failed, and the counts."""
    for written in result.written:
        file_log.info("dataset %s: %s", result.output / written.path, amount(written.rows, "row"))
    for group in itertools.islice(count_reasons(*journals), MOST_LOGGED):
        level = logging.WARNING if group.state is RecordStatus.FAILED else logging.INFO
        file_log.log(level, "%s %s at %s: %s", amount(group.rows, "row"), group.state, group.step, group.form)
    counts, meta = result.counts, journals[0].meta
    seconds = f" after {time.time() - meta.started_at:.1f} s" if meta.started_at is not None else ""
    name = f"run {meta.run}" if result.shard is None else f"shard {result.shard}"
    # The number of records of a shard is unknown.
    pending = f"; {amount(counts.pending, 'source record')} pending" if counts.pending and result.shard is None else ""
    stopped = f"; {result.stopped}" if result.stopped else ""
    file_log.info(
        "%s %s%s: %s done, %d dropped, %d failed; %s in all runs%s%s",
        *(name, result.state, seconds, amount(counts.done, "row"), counts.dropped, counts.failed),
        *(amount(result.calls, "call"), pending, stopped),
    )


def open_sinks(recipe: Recipe, output: Path) -> list[Sink]:
    """Returns a recipe's sinks; one for each part of a dataset, if the recipe divides its datasets."""
    return [opened.sink for opened in open_parts(recipe, output)]


def open_parts(recipe: Recipe, output: Path) -> list[Opened]:
    """Returns the sinks, each with its dataset and part."""
    made = frozenset[str]().union(*(step.writes for step in recipe.steps))
    parts = [] if recipe.run.split is None else list(recipe.run.split.shares)
    found = []
    for member in recipe.sinks:
        kind, whole = SINKS.get(member.type), member.config.path
        for part in parts if parts and kind.divisible else [None]:
            path = whole if part is None else part_path(whole, part)
            found.append(Opened(kind(member.config.model_copy(update={"path": path}), output), whole, part))
            found[-1].sink.follow(made)
    return found


def tell_target(journal: Journal, stage: int, target: int) -> None:
    """Logs whether a run has reached its target."""
    last = journal.outcomes.nth_done(stage, target)
    if last is None:
        log.warning("all records are done, and fewer than the target of %d were accepted", target)
        return
    beyond = journal.outcomes.count_final() - (last[0] + 1)
    log.info(
        "the target of %d is reached; %d records beyond it were in flight, and are left out", target, max(0, beyond)
    )


@dataclass(frozen=True, slots=True)
class RunAssets:
    """Reads the embeddings and images that the fields of records refer to."""

    journal: Journal
    policy: ImagePolicy

    def vector(self, key: str) -> bytes | None:
        """Returns the bytes of an embedding, or None."""
        return self.journal.memo.vector(key)

    def image(self, uri: str) -> bytes:
        """Returns an image's file. Raises ImageError if it can't be read, or is not an image."""
        data = read_image(uri, self.policy)
        if not looks_like_image_bytes(data):
            raise ImageError(f"image {shorten_text(uri)!r} is not an image in a format that mminf knows")
        return data


def write_sinks(
    plan: RunPlan,
    output: Path,
    journal: Journal,
    policy: ImagePolicy,
    *,
    guard: Guard,
    marks: MarkColumns | None = None,
) -> list[Written]:
    """Writes every dataset of a run from its journal.

    If the recipe has a target of N, the datasets end with the Nth accepted record in source order, so that they do not
    depend on how many more records the run has processed.

    Args:
        output: folder of the datasets.
        policy: rules for the images that sinks read.
        guard: rules for replacing existing datasets.
        marks: adds the fields of marks to records; None: no such fields.

    Raises:
        OutputError: if a dataset can't be written; the existing one is kept then.
    """
    journal.outcomes.check()
    target = plan.target
    last = journal.outcomes.nth_done(plan.last.index, target) if target is not None else None
    assets = RunAssets(journal, policy)
    tokens = journal.meta.tokens()
    splitter = None if plan.recipe.run.split is None else Splitter(plan.recipe.run.split)
    if splitter is not None:
        splitter.stratify(_record(row, marks) for row in _until(last, journal.outcomes.rows(plan.last.index)))
    written = []
    for sink, whole, part in open_parts(plan.recipe, output):
        sink.attach(assets)
        sink.escape(tokens)
        sink.protect(guard)
        records = _SinkRecords(sink, plan, journal, last, splitter, part, marks)
        try:
            found = sink.write(records)
            written.append(found if part is None else found._replace(part=part, whole=str(whole)))
        except OSError as error:
            raise OutputError(
                f"{sink.path} can't be written: {reason_of(error)}. Progress is saved in the journal: free "
                "some space or fix the folder, then run the same command: it writes the datasets and calls no model"
            ) from error
        if part is not None and not written[-1].rows and not written[-1].left_out:
            log.warning("part %s of %s has no rows; give it a larger share", part, whole)
    if marks is not None:
        marks.warn()
    return written


@dataclass(frozen=True, slots=True)
class _SinkRecords:
    """The records that a sink writes, streamed again in each iteration."""

    sink: Sink
    plan: RunPlan
    journal: Journal
    last: Place | None
    splitter: Splitter | None
    part: str | None
    marks: MarkColumns | None = None

    def __iter__(self) -> Iterator[Record]:
        dropped_by = self.sink.config.dropped_by
        if dropped_by is None:
            rows = self.journal.outcomes.rows(self.plan.last.index)
        else:
            stage = next(stage.index for stage in self.plan.stages if dropped_by in stage.names)
            rows = self.journal.outcomes.rows(stage, states=[RecordStatus.DROPPED], step=dropped_by)
        for row in _until(self.last, rows):
            record = _record(row, self.marks)
            if self.part is None or self.splitter is None or self.splitter.part(record.origin) == self.part:
                yield record


def _record(row: Row, marks: MarkColumns | None) -> Record:
    """Returns the record of a row, with the fields of its mark if there are marks."""
    return row.record() if marks is None else marks.add_to(row.record())


def _until(last: Place | None, rows: Iterable[Row]) -> Iterator[Row]:
    """Yields the rows up to a position in the source."""
    return itertools.takewhile(lambda row: last is None or (row.seq, row.path) <= last, rows)
