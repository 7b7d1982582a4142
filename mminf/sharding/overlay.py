"""The journal of a shard: an overlay on the main journal, with the rows that the shard has written.

No process writes the main journal while shards run, so processes on other machines can read it without SQLite's
locks, which do not work on network file systems.
"""

from __future__ import annotations

import contextlib
import heapq
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from mminf.journal.checksum import add_functions
from mminf.journal.codec import BELOW, below_path
from mminf.journal.connection import has_tables, open_uri
from mminf.journal.database import Database, reading
from mminf.journal.digests import ImageDigests
from mminf.journal.folders import shard_folder
from mminf.journal.journal import Journal
from mminf.journal.memo import Memo, MemoTables
from mminf.journal.meta import RunMeta, Scope
from mminf.journal.outcomes import Outcomes, count_of, place
from mminf.journal.retries import Retries
from mminf.journal.row import OutcomeCount, Place, ReasonCount, Row
from mminf.journal.schema import FILE, TABLES, insert
from mminf.record import Record
from mminf.shard import Shard
from mminf.states import RecordStatus

_KEEP = (
    f"{insert('touched')} ON CONFLICT DO UPDATE "
    "SET run = excluded.run, seq = excluded.seq, checksum = excluded.checksum WHERE kept = 1"
)


def open_frozen(path: Path) -> Database:
    """Opens the file of a main journal that no process writes.

    Args:
        path: path of the file; if it does not exist or has no tables yet, the database is empty.
    """
    with reading(path), contextlib.ExitStack() as stack:
        if path.is_file():
            connection = stack.enter_context(contextlib.closing(open_uri(path, "mode=ro&immutable=1")))
            if has_tables(connection):
                return Database(path, lambda: contextlib.closing(open_uri(path, "mode=ro&immutable=1")))
    return Database(path, _open_empty)


@contextlib.contextmanager
def _open_empty() -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)) as connection:
        add_functions(connection)
        connection.executescript(TABLES)
        yield connection


class FrozenJournal:
    """The main journal as a shard reads it.

    Args:
        folder: the run's output folder, which may not contain a journal yet.
    """

    def __init__(self, folder: Path) -> None:
        self.database = open_frozen(folder / FILE)
        self.meta = RunMeta(self.database, Scope.RUN)
        self.memo = MemoTables(self.database)
        self.outcomes = Outcomes(self.database, self.meta)

    def __enter__(self) -> FrozenJournal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self.database.close()


class ShardOutcomes(Outcomes):
    """The outcomes of a shard.

    The table `touched` says which records of the main journal this shard has kept for this run, or computes again.
    """

    def __init__(self, database: Database, meta: RunMeta, base: FrozenJournal) -> None:
        super().__init__(database, meta)
        self._base = base.outcomes
        self._main = base.database
        self._base_has_rows = base.database.one("SELECT 1 FROM rows LIMIT 1") is not None

    def is_final(self, stage: int, record: Record, key: str) -> bool:
        if self._has_own(stage, record):
            return super().is_final(stage, record, key)
        return self._base_has_rows and not self._is_forgotten(stage, record) and self._base.is_final(stage, record, key)

    def keep(self, stage: int, record: Record) -> None:
        super().keep(stage, record)
        if self._base_has_rows:
            # A record that this shard has computed again stays marked as forgotten.
            self._database.execute(_KEEP, *place(stage, record), record.seq, 1, self._meta.run)

    def forget(self, stage: int, record: Record) -> None:
        super().forget(stage, record)
        if self._base_has_rows:
            self._database.insert("touched", *place(stage, record), record.seq, 0, self._meta.run)

    def count_done(self, stage: int, record: Record) -> int:
        own = self._has_own(stage, record)
        return super().count_done(stage, record) if own else self._base.count_done(stage, record)

    def has_done(self, stage: int) -> bool:
        return super().has_done(stage) or self._base.has_done(stage)

    def counts(self, last: Place | None = None) -> list[OutcomeCount]:
        return [*super().counts(last), *self._counts_kept()]

    def rows(
        self,
        stage: int,
        *,
        states: Iterable[RecordStatus] = (RecordStatus.DONE,),
        step: str | None = None,
        fields: bool = True,
    ) -> Iterator[Row]:
        """Yields the rows of this shard, and those that it has kept in the main journal, in source order."""
        wanted = list(states)
        own = super().rows(stage, states=wanted, step=step, fields=fields)
        kept = (row for row in self._kept(stage, fields=fields) if row.state in wanted and step in (None, row.step))
        return heapq.merge(own, kept, key=lambda row: (row.seq, row.path))

    def _kept(self, stage: int, *, fields: bool) -> Iterator[Row]:
        """Yields the rows in the main journal of the records that this shard has kept, and of their descendants."""
        touched = "SELECT root, path, seq FROM touched WHERE stage = ? AND kept = 1 AND run >= ? ORDER BY seq, path"
        for root, path, seq in self._database.stream(touched, stage, self._meta.since):
            where = f"WHERE {BELOW} ORDER BY path"
            for row in self._base.select(where, *below_path(stage, root, path), fields=fields):
                yield replace(row, seq=seq)

    def has_outcome(self, stage: int, root: str, path: str) -> bool:
        kept = "SELECT 1 FROM touched WHERE stage = ? AND root = ? AND path = ? AND kept = 1 AND run >= ?"
        return (
            super().has_outcome(stage, root, path)
            or self._database.one(kept, stage, root, path, self._meta.since) is not None
        )

    def reasons(self, last: Place | None = None) -> Iterator[ReasonCount]:
        yield from super().reasons(last)
        stages = self._database.all("SELECT DISTINCT stage FROM touched WHERE kept = 1 AND run >= ?", self._meta.since)
        for (stage,) in stages:
            for row in self._kept(stage, fields=False):
                if row.state is RecordStatus.DROPPED:
                    yield ReasonCount(row.step, row.state, row.reason, 1)

    def count_final(self) -> int:
        """Returns how many source records are final in the first stage; the main journal counts later stages."""
        sql = "SELECT count(*) FROM {} WHERE run >= ? AND stage = 0 AND path = ''"
        own = int(self._database.value(sql.format("rows"), self._meta.since))
        return own + int(self._database.value(sql.format("touched") + " AND kept = 1", self._meta.since))

    def _has_own(self, stage: int, record: Record) -> bool:
        sql = "SELECT 1 FROM rows WHERE stage = ? AND root = ? AND path = ?"
        return self._has_rows and self._database.one(sql, *place(stage, record)) is not None

    def _is_forgotten(self, stage: int, record: Record) -> bool:
        sql = "SELECT 1 FROM touched WHERE stage = ? AND root = ? AND path = ? AND kept = 0"
        return self._database.one(sql, *place(stage, record)) is not None

    def _counts_kept(self) -> Iterator[OutcomeCount]:
        """Yields the counts of the outcomes in the main journal that this shard has kept."""
        kept: Counter[tuple[int, str, str | None]] = Counter()
        touched = self._database.all(
            "SELECT stage, root, path FROM touched WHERE kept = 1 AND run >= ?", self._meta.since
        )
        sql = f"SELECT state, step FROM rows WHERE {BELOW}"  # noqa: S608
        for stage, root, path in touched:
            for state, step in self._main.all(sql, *below_path(stage, root, path)):
                kept[stage, state, step] += 1
        return (count_of((*outcome, number)) for outcome, number in kept.items())


class ShardJournal(Journal):
    """The journal of a shard.

    Args:
        output: folder with the main journal.
        shard: the shard of this journal.
        write: take the writer's lock of the shard's journal.

    Attributes:
        base: the main journal.
    """

    def __init__(self, output: Path, shard: Shard, *, write: bool = False) -> None:
        self.shard = shard
        self.base = FrozenJournal(output)
        try:
            super().__init__(shard_folder(output, shard), write=write)
        except BaseException:
            self.base.close()
            raise

    def _open_parts(self, scope: Scope) -> None:
        super()._open_parts(scope)
        self.memo = Memo(self.database, self.meta, self.base.memo)
        self.outcomes = ShardOutcomes(self.database, self.meta, self.base)
        self.retries = Retries(self.database, self.meta, self.base.database)
        self.images = ImageDigests(self.database, self.base.database)

    def close(self) -> None:
        try:
            super().close()
        finally:
            self.base.close()

    def inputs(self, stage: int) -> Iterator[Row]:
        """Yields the rows of the previous stage that belong to this shard; they were merged into the main journal."""
        return (row for row in self.base.outcomes.rows(stage - 1) if self.shard.owns(row.record().origin))

    def recipe_before(self) -> str | None:
        return self.meta.recipe_name or self.base.meta.recipe_name
