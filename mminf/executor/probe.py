"""Runs some records of a source, and leaves the run interrupted: the next run resumes it."""

from __future__ import annotations

import logging

from mminf.cost.figures import Figures
from mminf.engine.previews import PreviewedRecord, read_previews
from mminf.engine.probe import ProbeResult, choose_records, conclude, without_target
from mminf.engine.result import RunResult
from mminf.engine.run import Run
from mminf.engine.work import work
from mminf.executor.base import Executor
from mminf.journal import Journal
from mminf.sharding.merge import merge_shards
from mminf.states import RunState

log = logging.getLogger("mminf")


class ProbeExecutor(Executor):
    """Runs some records through all steps. No dataset is written.

    Args:
        records: number of records.
        preview: the records are the first ones, and their rows are kept; otherwise they are drawn over the whole input.

    Attributes:
        figures: the figures of these records.
        total: number of records of the run; None if unknown.
        shown: the records of a preview.
    """

    def __init__(self, records: int, *, preview: bool = False) -> None:
        self.records = records
        self.preview = preview
        self.shown: list[PreviewedRecord] = []
        self.figures = Figures(1)
        self.total: int | None = None

    async def work(self, run: Run) -> RunResult:
        async with run.lead():
            if merge_shards(run.workspace.folder):
                await run.workspace.push(merged=True)
            with Journal(run.workspace.folder, write=True, locked=True) as journal:
                return await self._work(run, journal)

    async def _work(self, run: Run, journal: Journal) -> RunResult:
        chosen, self.total = choose_records(run, self.records, spread=not self.preview)
        self.figures = Figures(len(run.plan.stages))
        same = journal.meta.digest == run.plan.digest
        finished = same and journal.meta.state is RunState.FINISHED
        if journal.meta.has_finished and not same:
            log.warning(
                "the run in %s had other settings: until the next run, `status`, `list` and `view` show the records of "
                "this %s; its datasets stay as they are",
                *(run.target, "preview" if self.preview else "probe"),
            )
        run.begin(journal, writes=False)
        run.session.stats.begin(chosen.count())
        run.session.stats.keep_figures(self.figures, notes=self.preview)
        await journal.flush()
        await work(without_target(run, chosen), journal, run.plan.stages)
        # The records of a finished run count as before.
        state = RunState.FINISHED if finished else RunState.INTERRUPTED
        journal.meta.set_state(state)
        seconds = sum(cost.seconds for found in self.figures.roots[0].values() for cost in found.by_engine.values())
        if self.figures.records:
            journal.meta.note_probe(run.plan.digest, self.figures.records, seconds / self.figures.records)
        await journal.flush()
        if self.preview:
            self.shown = read_previews(run, journal, chosen)
        return run.result(journal, state)


def run_probe(run: Run, records: int, *, progress: bool = False) -> ProbeResult:
    """Runs some records that are drawn over the whole input, and estimates the cost of the run from them.

    Args:
        records: number of records.
        progress: show it on stderr.

    Raises:
        UsageError: if the run can't start, or can't continue.
    """
    executor = ProbeExecutor(records)
    result = executor.execute(run, progress=progress)
    return conclude(run, executor.figures, executor.total, result)


def run_preview(run: Run, records: int) -> list[PreviewedRecord]:
    """Runs the first records of the input, and returns what the steps made of them.

    Raises:
        UsageError: if the run can't start, or can't continue.
    """
    executor = ProbeExecutor(records, preview=True)
    executor.execute(run)
    return executor.shown
