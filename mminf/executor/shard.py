"""One shard of a run, for people with their own scheduler; and what puts the shards together."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from mminf.engine.parts import Coordinator, Phase, find_phase, nothing_to_merge, read_progress, unfinished, work_part
from mminf.engine.result import RunResult, count_records
from mminf.engine.run import Run, lead
from mminf.errors import JournalError
from mminf.journal import Journal
from mminf.journal.lock import hold
from mminf.journal.merge import PARTS, freeze, part_folder
from mminf.journal.mirror import StoreLock, fetch_journal, is_held, list_parts
from mminf.journal.schema import FILE
from mminf.part import Part


def shard_work(part: Part) -> Callable[[Run], Coroutine[Any, Any, RunResult]]:
    """Returns what takes a shard's records up to the next dataset step, or to the end."""

    async def work(run: Run) -> RunResult:
        if run.mirror is None:
            return await _work(run, part)
        if is_held(run.target):
            raise JournalError(f"another run is writing to {run.target}; wait for it, or choose another --output")
        with StoreLock(run.target / PARTS / part.name), tempfile.TemporaryDirectory(prefix="mminf-") as folder:
            run.output = Path(folder)
            fetch_journal(run.target, run.output)
            return await _work(run, part)

    async def _work(run: Run, part: Part) -> RunResult:
        _settle_main(run.output)
        with hold(run.output, shared=True):
            phase = find_phase(run, part.of)
            state = await work_part(run, part, phase)
            if run.mirror is not None:
                fetch_journal(run.target / PARTS / part.name, part_folder(run.output, part))
            with Journal(part_folder(run.output, part), base=run.output) as journal:
                calls = sum(int(step["calls"]) for step in journal.totals().values())
                counts = replace(count_records(journal), pending=None)  # how many of the records are its is not known
                return RunResult(
                    state, run.target, counts, [], journal.failures(5), calls, part, stopped=run.stats.stopped
                )

    return work


def _settle_main(output: Path, seconds: float = 5.0) -> None:
    """Freezes a main journal that a killed run has left; of shards that start together, the first one does it."""
    log = output / f"{FILE}-wal"
    deadline = time.monotonic() + seconds
    while log.is_file() and log.stat().st_size:
        try:
            with hold(output):
                freeze(output)
        except JournalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


async def merge_work(run: Run) -> RunResult:
    """Merges the shards of a run, and runs the dataset steps behind what they did.

    Returns:
        The run's result; its state is `waiting` if the shards must go on behind a dataset step, or towards the target.

    Raises:
        JournalError: if a shard is missing, not finished, or of another recipe.
    """
    if run.mirror is None and not (run.output / FILE).is_file() and not list_parts(run.target):
        raise JournalError(f"no shards in {run.target}; `mminf run --shard i/n` makes them")
    async with lead(run):
        if run.mirror is not None:
            for shard in list_parts(run.target):
                if is_held(run.target / PARTS / shard.name):
                    raise JournalError(f"shard {shard.number}/{shard.of} is still writing to {run.target}")
        progress = read_progress(run)
        cuts = {part.of for part in progress}
        if len(cuts) > 1:
            raise JournalError(f"{run.output} holds shards of several cuts ({', '.join(map(str, sorted(cuts)))})")
        of = cuts.pop() if cuts else 1
        coordinator = Coordinator(run, of)
        if not cuts and not progress and (run.output / FILE).is_file() and not run.plan[0].dataset:
            return await _merge_nothing(run, coordinator)
        phase: Phase | None
        if run.plan[0].dataset and not progress:
            phase = await coordinator.begin()
        else:
            expected = find_phase(run, of)
            if missing := unfinished(progress, of, expected, run.digest):
                raise JournalError(f"{run.output} can't be merged yet: {'; '.join(missing)}")
            phase = await coordinator.merge(await coordinator.resume())
        if phase is not None:
            return await coordinator.pause()
        return await coordinator.end("interrupted" if run.stats.ending else "finished")


async def _merge_nothing(run: Run, coordinator: Coordinator) -> RunResult:
    """Writes the datasets once more where all was merged before: a scheduler may start a merge again."""
    with Journal(run.output) as main:
        problem = nothing_to_merge(run, main)
    if problem is not None:
        raise JournalError(f"{run.target} can't be merged: {problem}")
    return await coordinator.end("finished")
