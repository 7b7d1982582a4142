"""The journal of a run: one process writes it, and any number of processes can read it at the same time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from mminf.errors import JournalError
from mminf.journal.database import open_database
from mminf.journal.digests import ImageDigests
from mminf.journal.lock import release_lock, take_lock
from mminf.journal.memo import Memo
from mminf.journal.meta import RunHeader, RunMeta, Scope
from mminf.journal.outcomes import Outcomes
from mminf.journal.parked import ParkedRecords
from mminf.journal.retries import Retries
from mminf.journal.row import Row
from mminf.journal.schema import FILE


class Journal:
    """The journal in an output folder.

    Args:
        folder: the run's output folder.
        write: take the writer's lock; without it the journal can only be read.
        locked: the caller holds the lock already.
        scope: which of the runs in it count.

    Attributes:
        meta: recipe and state of the last run.
        memo: answered model calls.
        outcomes: outcomes of records.
        parked: records that wait for an engine.
        retries: attempts that were written off.
        images: digests of image files.

    Raises:
        JournalError: if another process writes it, it does not exist, or its version can't be read.
    """

    meta: RunMeta
    memo: Memo
    outcomes: Outcomes
    parked: ParkedRecords
    retries: Retries
    images: ImageDigests

    def __init__(self, folder: Path, *, write: bool = False, locked: bool = False, scope: Scope = Scope.RESULT) -> None:
        self.folder = folder
        self.path = folder / FILE
        self._lock: int | None = None
        if write:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = None if locked else take_lock(folder)
        elif not self.path.is_file():
            below = [path.parent for path in itertools.islice(folder.glob(f"*/{FILE}"), 3)]
            found = f"; there is one in {', '.join(map(str, below))}" if below else "; start one with `mminf run`"
            raise JournalError(f"no run in {folder}: {self.path} does not exist{found}")
        try:
            self.database = open_database(self.path, write=write)
            try:
                self._open_parts(scope)
            except BaseException:
                self.database.close()
                raise
        except BaseException:
            self._release()
            raise

    def _open_parts(self, scope: Scope) -> None:
        self.meta = RunMeta(self.database, scope)
        self.memo = Memo(self.database, self.meta)
        self.outcomes = Outcomes(self.database, self.meta)
        self.parked = ParkedRecords(self.database)
        self.retries = Retries(self.database, self.meta)
        self.images = ImageDigests(self.database)

    def close(self) -> None:
        """Commits all queued statements, and releases the lock."""
        try:
            self.database.close()
        finally:
            self._release()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self, header: RunHeader, phase: Callable[[int], str]) -> None:
        """Starts a run, in one transaction.

        Args:
            phase: returns the phase for the number of the run, as text; empty if there is none.
        """
        with self.database.together():
            self.parked.clear()
            self.meta.begin(header)
            self.meta.set_phase(phase(self.meta.run))

    async def flush(self) -> None:
        """Returns once all statements queued so far are committed."""
        await self.database.commit()

    def inputs(self, stage: int) -> Iterator[Row]:
        """Yields the rows that a stage reads: those that are done in the previous stage, in source order."""
        return self.outcomes.rows(stage - 1)

    def recipe_before(self) -> str | None:
        """Returns the name of the recipe of the last run into the output."""
        return self.meta.recipe_name

    def _release(self) -> None:
        if self._lock is not None:
            release_lock(self._lock)
            self._lock = None
