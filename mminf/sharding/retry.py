"""Marks failed records, in the journal of a run and in those of its shards, so that the next run retries them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from mminf.engine.outcome_writer import SOURCE
from mminf.engine.workspace import Workspace
from mminf.errors import JournalError, nearest
from mminf.journal import Journal
from mminf.journal.retries import WrittenOff
from mminf.sharding.journals import open_journals


def retry_failed(output: Path, *, step: str | None, ids: Sequence[str]) -> int:
    """Writes off the attempts of failed records, and returns how many records these are.

    Args:
        step: only records that failed at this step.
        ids: only these records; all failed records if it is empty.

    Raises:
        JournalError: if there is no run, it has no such step, or no such record has failed.
    """
    with open_journals(output) as journals:  # raises JournalError if there is no run
        _check_step(journals[0], step)
    workspace = Workspace(output)
    with workspace.hold():
        marked = _find_failed(workspace.folder, step, ids)
        if ids and not marked:
            names = ", ".join(map(repr, ids))
            raise JournalError(f"no failed record {names} in {output}; `mminf list {output} --failed` lists them")
        with Journal(workspace.folder, write=True, locked=True) as journal:
            journal.retries.write_off(marked)
        return len(marked)


def _check_step(journal: Journal, step: str | None) -> None:
    known = {SOURCE, *itertools.chain.from_iterable(journal.meta.stages)}
    if step is not None and step not in known:
        raise JournalError(f"the run has no step {step!r}{nearest(step, known)}")


def _find_failed(folder: Path, step: str | None, ids: Sequence[str]) -> list[WrittenOff]:
    with open_journals(folder) as journals:
        attempts: dict[str, int] = {}
        for item in journals[0].meta.recipe.get("steps", []):
            for kind, config in item.items():
                if isinstance(config, dict):
                    attempts[config.get("name") or kind] = int(config.get("attempts", 1))
        failed = itertools.chain.from_iterable(journal.retries.failed(step=step, ids=ids) for journal in journals)
        return [WrittenOff(record, at, attempts.get(at, 1)) for record, at in dict.fromkeys(failed)]
