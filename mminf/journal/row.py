"""What a journal holds, as values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

from mminf.errors import JournalError
from mminf.journal.codec import path_numbers
from mminf.record import Fields, Record
from mminf.request import Generation

Place = tuple[int, tuple[int, ...]]
"""Where a record stands: its source record's position, and its path below it."""
Tree = dict[str, dict[str, Any]]


@dataclass(slots=True)
class Row:
    """What became of a record in a stage; see `schema.TABLES`."""

    stage: int
    id: str
    root: str
    seq: int
    path: tuple[int, ...]
    state: str
    step: str | None
    reason: str | None
    fields: Fields
    key: str | None

    def record(self) -> Record:
        return Record(self.id, self.fields, self.seq, self.path, self.root)


class Waiting(NamedTuple):
    """A record on its way through a stage.

    Attributes:
        record: as it came into the stage.
        tree: how far it and what is below it are, by path; empty for one that has not begun.
        key: of its outcome.
    """

    record: Any
    tree: Tree
    key: str | None


class Call(NamedTuple):
    """A model call as the journal keeps it."""

    key: bytes
    step: str
    record: str
    attempt: int
    sample: int
    generation: Generation
    seconds: float
    chat: bytes


def row_of(row: tuple[Any, ...]) -> Row:
    """Returns the row of a tuple as `SELECT * FROM rows` gives it. Raises JournalError if it is damaged."""
    try:
        stage, record, root, seq, path, _, key, state, step, reason, fields = row
        found = Row(stage, record, root, seq, path_numbers(path), state, step, reason, json.loads(fields), key)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise JournalError(
            f"the journal is damaged: an outcome of record {row[1]!r:.80} can't be read: {error}"
        ) from error
    if not isinstance(found.fields, dict):
        raise JournalError(f"the journal is damaged: the fields of record {row[1]!r:.80} are no object")
    return found
