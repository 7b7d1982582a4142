"""Records that wait for an engine to be loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator

from mminf.journal.codec import clean, path_numbers, path_text
from mminf.journal.database import Database, inserting
from mminf.journal.row import Waiting
from mminf.record import Record

_PAGE = 256
_REMOVE = "DELETE FROM parked WHERE stage = ? AND seq = ? AND path = ? AND root = ?"
_NEXT = f"WHERE stage = ? AND (seq, path, root) > (?, ?, ?) ORDER BY seq, path, root LIMIT {_PAGE}"


class ParkedRecords:
    """The parked records of the current run."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def clear(self) -> None:
        """Removes the parked records of an earlier run that was killed."""
        self._database.execute("DELETE FROM parked")

    async def add(self, stage: int, waiting: Waiting) -> None:
        """Writes a record that can't continue now; returns once it is committed."""
        record = waiting.record
        values = (
            stage,
            record.seq,
            path_text(record.path),
            clean(record.origin),
            clean(record.id),
            # ASCII, so that a lone surrogate is restored unchanged.
            json.dumps(record.fields),
            json.dumps(waiting.tree),
            waiting.key,
        )
        await self._database.commit([inserting("parked", values)])

    def take(self, stage: int) -> Iterator[Waiting]:
        """Yields and removes the records of a stage, in source order, except those parked again meanwhile."""
        sql = self._database.select("parked", _NEXT)
        last: tuple[int, str, str] = (-1, "", "")
        while page := self._database.all(sql, stage, *last):
            for row in page:
                _, seq, path, root, record, fields, tree, key = self._database.verify("parked", row)
                last = (seq, path, root)
                self._database.execute(_REMOVE, stage, *last)
                numbers = path_numbers(path)
                found = Record(record, json.loads(fields), seq, numbers, root if numbers else "")
                yield Waiting(found, json.loads(tree), key)
