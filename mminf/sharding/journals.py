"""All journals of a run, for reading."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from mminf.errors import JournalError
from mminf.journal import Journal, Row, Scope
from mminf.journal.codec import path_text
from mminf.journal.folders import list_shards
from mminf.journal.mirror import copied
from mminf.journal.schema import FILE
from mminf.sharding.overlay import ShardJournal
from mminf.storage import is_remote, reaching


@contextlib.contextmanager
def open_journals(output: Path) -> Iterator[list[Journal]]:
    """Yields the journal of a run, and those of its shards that are not merged yet, for reading.

    Args:
        output: output of the run; journals in a store are copied.

    Raises:
        JournalError: if there is no journal.
    """
    with contextlib.ExitStack() as stack:
        if is_remote(output):
            with reaching(output):
                target, output = output, stack.enter_context(copied(output))
            if not (output / FILE).is_file() and not list_shards(output):
                raise JournalError(f"no run in {target}, or it has not sent its first checkpoint yet")
        shards: list[Journal] = [
            stack.enter_context(ShardJournal(output, shard))
            for shard in list_shards(output)
            if shard.name not in _merged(output)  # merged by a merge that was killed before it removed the folder
        ]
        if shards and not (output / FILE).is_file():
            yield shards
            return
        # Rows of earlier runs in the main journal are counted by the shards that have kept them.
        scope = Scope.SHARDS if shards else Scope.RESULT
        yield [stack.enter_context(Journal(output, scope=scope)), *shards]


def has_later_outcome(journals: Iterable[Journal], row: Row) -> bool:
    """Returns whether the next stage has an outcome for a record."""
    path = path_text(row.path)
    return any(journal.outcomes.has_outcome(row.stage + 1, row.root, path) for journal in journals)


def _merged(output: Path) -> frozenset[str]:
    if not (output / FILE).is_file():
        return frozenset()
    with Journal(output) as main:
        return frozenset(main.meta.merged())
