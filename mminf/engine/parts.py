"""A run cut into parts: each takes its records through a stage, with its own journal; what they made is merged.

Dataset steps see all records, so they are barriers: they run once, over the merged journal, between two phases in which
the parts are at work. Who starts the parts, and where, is the executors' matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

from mminf.engine.result import RunResult, count_records
from mminf.engine.run import Run
from mminf.errors import JournalError
from mminf.journal import Journal
from mminf.journal.merge import PARTS, FrozenJournal, absorb_parts, freeze, part_folder, part_folders
from mminf.journal.mirror import copied, fetch_journal, list_parts, push_journal, sending
from mminf.journal.schema import FILE
from mminf.part import Part
from mminf.storage import is_remote, reaching

log = logging.getLogger("mminf")


@dataclass(frozen=True, slots=True)
class Phase:
    """What all parts are at.

    Attributes:
        stage: the stage that they take their records through.
        quota: where the recipe has a target, each part stops once so many of its records are accepted.
        number: counted over the phases of a run, from 0.
        run: of the main journal; what was made for another one is not this phase's.
        source: fingerprint of the input that the run began with.
    """

    stage: int
    quota: int | None
    number: int
    run: int
    source: str | None = None

    @classmethod
    def load(cls, text: str | None) -> Phase | None:
        """Returns the phase that the main journal holds, or None. Raises JournalError if it is damaged."""
        try:
            return cls(**json.loads(text)) if text else None
        except (ValueError, TypeError, RecursionError) as error:
            raise JournalError(f"the journal is damaged: its phase {text!r:.80} can't be read: {error}") from error

    def dump(self) -> str:
        """Returns it as JSON."""
        return json.dumps(asdict(self))


class Progress(NamedTuple):
    """How far a part is with a phase.

    Attributes:
        state: `finished`, `interrupted`, `failed` or `running`.
        position: number of the last source record that it took, None if it took all.
    """

    state: str
    phase: str
    recipe: str
    position: int | None


async def work_part(run: Run, part: Part, phase: Phase) -> str:
    """Takes a part's records through a phase, resuming what its journal and the main one hold. Returns the state."""
    if run.mirror is None:
        return await _work_part(run, part, phase, run.output)
    store = run.target / PARTS / part.name
    with tempfile.TemporaryDirectory(prefix="mminf-") as name:
        main, own = Path(name), part_folder(Path(name), part)
        await asyncio.to_thread(fetch_journal, run.target, main)
        await asyncio.to_thread(fetch_journal, store, own)
        try:
            async with sending(own, store):
                return await _work_part(run, part, phase, main)
        finally:
            await asyncio.to_thread(push_journal, own, store)


async def _work_part(run: Run, part: Part, phase: Phase, main: Path) -> str:
    with Journal(part_folder(main, part), write=True, base=main) as journal:
        run.begin(journal)
        journal.set_meta("phase", phase.dump())
        state = await run.work(journal, [run.plan[phase.stage]], part, phase.quota)
        journal.set_meta("position", json.dumps(run.position))
        journal.set_meta("phase_state", state)
    return state


def read_progress(run: Run) -> dict[Part, Progress]:
    """Returns how far the parts are whose journals wait to be merged."""
    found = {}
    for part, folder in part_folders(run.output).items():
        with Journal(folder) as journal:
            found[part] = Progress(
                journal.meta("state") or "failed",
                journal.meta("phase") or "",
                journal.meta("recipe_digest") or "",
                json.loads(journal.meta("position") or "null"),
            )
    return found


def find_phase(run: Run, of: int) -> Phase:
    """Returns what a shard that is started by itself has to do.

    Raises:
        JournalError: if a dataset step comes first, or shards of another cut are there.
    """
    other = sorted({part.of for part in list_parts(run.target)} - {of})
    if other:
        raise JournalError(
            f"{run.target} holds shards of {other[0]}, not of {of}: when all of them are finished, `mminf merge` takes "
            "over what they did; a plain `mminf run` does at any time"
        )
    main = FrozenJournal(run.output)
    try:
        found = live_phase(run, main)
        number = int(main.meta("run") or 0) + 1
    finally:
        main.close()
    if found is None and run.plan[0].dataset:
        raise JournalError(
            f"the recipe begins with a dataset step ({run.plan[0].names[0]}), which runs once: `mminf merge` first"
        )
    return found or Phase(0, first_quota(run, of), 0, number, run.source.fingerprint())


def live_phase(run: Run, main: Journal | FrozenJournal) -> Phase | None:
    """Returns the phase that shards of this recipe and this input are at; None if there is none."""
    phase = Phase.load(main.meta("phase")) if main.meta("recipe_digest") == run.digest else None
    return phase if phase is not None and phase.source == run.source.fingerprint() else None


def first_quota(run: Run, of: int) -> int | None:
    """Returns how many accepted records a part makes at first, where the run has a target: its share, and some."""
    target = run.recipe.run.target
    return None if target is None else math.ceil(1.1 * target / of) + 4


class Coordinator:
    """Begins phases and merges what the parts made; its caller holds the lock of the main journal.

    Args:
        of: number of parts.
    """

    def __init__(self, run: Run, of: int) -> None:
        self.run = run
        self.of = of

    async def begin(self) -> Phase | None:
        """Starts a run, taking over what parts of earlier ones did. Returns the first phase, if there is one."""
        absorb_parts(self.run.output)
        with self._journal() as journal:
            self.run.begin(journal)
            journal.set_meta("phase", "")
        await self._share()
        return await self._advance(0, 0)

    async def resume(self) -> Phase:
        """Returns the phase that shards are at, which begins the run if they are at its first."""
        with self._journal() as journal:
            phase = live_phase(self.run, journal)
            if phase is None:
                self.run.begin(journal)
                source = self.run.source.fingerprint()
                phase = Phase(0, first_quota(self.run, self.of), 0, journal.run, source)
                journal.set_meta("phase", phase.dump())
        return phase

    async def pause(self) -> RunResult:
        """Says how far a run is whose shards must go on."""
        with self._journal() as journal:
            journal.set_meta("state", "waiting")
            await journal.flush()
            calls = sum(int(step["calls"]) for step in journal.totals().values())
            return RunResult("waiting", self.run.target, count_records(journal), [], journal.failures(5), calls)

    async def merge(self, phase: Phase) -> Phase | None:
        """Takes over what the parts made of a phase that all have finished, and runs the dataset steps behind it.

        Returns:
            The next phase; None at the end, or if the run is draining.
        """
        if self.run.mirror is not None:
            await asyncio.to_thread(self.run.mirror.pull_parts)
        progress = read_progress(self.run)
        if missing := unfinished(progress, self.of, phase, self.run.digest):
            raise JournalError(f"{self.run.target} can't be merged yet: {'; '.join(missing)}; run again")
        positions = [found.position for found in progress.values()]
        absorb_parts(self.run.output)
        await self._share()
        stage = self.run.plan[phase.stage]
        if stage is self.run.plan[-1] and (quota := self._missing(phase, positions)) is not None:
            return await self._set(replace(phase, quota=quota, number=phase.number + 1))
        return await self._advance(phase.stage + 1, phase.number + 1)

    async def end(self, state: str) -> RunResult:
        """Writes the datasets, if the run is finished, and says what it came to."""
        with self._journal() as journal:
            journal.set_meta("state", "writing" if state == "finished" else state)
            journal.set_meta("phase", "")
            await journal.flush()
            return await self.run.end(journal, state)

    def _journal(self) -> Journal:
        journal = Journal(self.run.output, write=True, locked=True)
        journal.since = journal.run  # opened again in the middle of the run, it shows nothing of those before
        return journal

    async def _advance(self, index: int, number: int) -> Phase | None:
        """Runs the dataset steps that stand at a stage; the next one that isn't is the parts'."""
        plan = self.run.plan
        while index < len(plan) and plan[index].dataset:
            with self._journal() as journal:
                if await self.run.work(journal, [plan[index]]) != "finished":
                    return None
                journal.set_meta("state", "running")
            index += 1
        if index == len(plan):
            return None
        quota = first_quota(self.run, self.of) if index == len(plan) - 1 else None
        source = self.run.source.fingerprint()
        return await self._set(Phase(index, quota, number, self._run_number(), source))

    def _run_number(self) -> int:
        with self._journal() as journal:
            return journal.run

    async def _set(self, phase: Phase) -> Phase:
        with self._journal() as journal:
            journal.set_meta("phase", phase.dump())
        freeze(self.run.output)
        if self.run.mirror is not None:
            await asyncio.to_thread(self.run.mirror.push)
        return phase

    async def _share(self) -> None:
        """Sends the main journal to where the parts find it; what was merged into it goes from there."""
        if self.run.mirror is not None:
            await asyncio.to_thread(self.run.mirror.push)
            await asyncio.to_thread(self.run.mirror.remove_parts)

    def _missing(self, phase: Phase, positions: Iterable[int | None]) -> int | None:
        """Returns the quota with which parts must go on to reach the target; None if it is reached, or can't be.

        Only what lies before the place up to which every part has come is sure to be among the first so many.
        """
        target = self.run.recipe.run.target
        ends = [position for position in positions if position is not None]
        if target is None or phase.quota is None or not ends:
            return None
        with self._journal() as journal:
            accepted = journal.count_before(phase.stage, min(ends))
        lacking = target - accepted
        return None if lacking <= 0 else phase.quota + math.ceil(1.2 * lacking / self.of) + 4


@contextlib.contextmanager
def open_journals(output: Path) -> Iterator[list[Journal]]:
    """Yields the journal of a run, and those of its parts that wait to be merged, for reading.

    Args:
        output: of the run; journals in a store are copied.

    Raises:
        JournalError: if there is none.
    """
    with contextlib.ExitStack() as stack:
        if is_remote(output):
            with reaching(output):
                target, output = output, stack.enter_context(copied(output))
            if not (output / FILE).is_file() and not part_folders(output):
                raise JournalError(f"no run in {target}, or it has not sent its first checkpoint yet")
        parts = [stack.enter_context(Journal(path, base=output)) for path in part_folders(output).values()]
        if parts and not (output / FILE).is_file():
            yield parts
            return
        main = stack.enter_context(Journal(output))
        if parts:
            # Of the main journal only what belongs to the run that the parts are at; what was there before is counted
            # by the part that has taken it over.
            main.since = main.run + (0 if main.meta("phase") else 1)
        yield [main, *parts]


def nothing_to_merge(run: Run, main: Journal) -> str | None:
    """Returns why there is nothing to merge, as an error; None if all was merged before."""
    if live_phase(run, main) is not None:
        return "no shard has begun to go on behind the dataset step: run --shard 0/n to n-1/n again"
    complete = main.meta("finished_run") == main.meta("run")
    if not complete or main.meta("recipe_digest") != run.digest:
        return "there are no shards in it, and no finished run of this recipe with these options"
    return None


def interrupted(run: Run) -> RunResult:
    """Says what a run has come to whose parts were stopped; the next run takes over what they did."""
    with open_journals(run.output) as journals:
        calls = sum(int(step["calls"]) for journal in journals for step in journal.totals().values())
        failures = [failure for journal in journals for failure in journal.failures(5)]
        counts, stopped = count_records(*journals), run.stats.stopped
        return RunResult("interrupted", run.target, counts, [], failures[:5], calls, stopped=stopped)


def unfinished(progress: Mapping[Part, Progress], of: int, phase: Phase, recipe: str) -> list[str]:
    """Returns what keeps the parts from being merged, a line each.

    Args:
        recipe: the digest of the recipe that they are merged for.
    """
    missing = []
    for number in range(of):
        part = Part(number, of)
        found = progress.get(part)
        if found is None:
            missing.append(f"shard {number}/{of} has not begun")
        elif found.recipe != recipe:
            missing.append(f"shard {number}/{of} was run with another recipe, or with other options")
        elif Phase.load(found.phase) != phase:
            missing.append(f"shard {number}/{of} is of an earlier run; run it again")
        elif found.state != "finished":
            missing.append(f"shard {number}/{of} is {found.state}")
    return missing
