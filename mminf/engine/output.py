"""What a run may replace in its output folder: only what runs into it have written, and nothing better by less."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from mminf.errors import JournalError, OutputError
from mminf.journal import Journal
from mminf.journal.schema import FILE
from mminf.sink.base import Rows, Sink, count_rows
from mminf.sink.shards import is_dataset
from mminf.storage import is_remote

log = logging.getLogger("mminf")
WRITTEN = "datasets"
"""Key in the journal's settings: paths of all datasets that runs into this folder have written."""


def check_targets(output: Path, sinks: Sequence[Sink]) -> None:
    """Checks, before anything is computed, that no sink would replace what runs into this folder have not written.

    In a store, objects are not asked for one by one.

    Raises:
        OutputError: naming what is in the way.
    """
    if is_remote(output):
        return
    known = known_datasets(output)
    for sink in sinks:
        path = sink.path
        for folder in reversed(path.relative_to(output).parents):
            if (output / folder).exists() and not (output / folder).is_dir():
                raise OutputError(f"{path} can't be written: {output / folder} is a file")
        if not path.exists() and not path.is_symlink():
            continue
        if path.is_dir() and not path.is_symlink():
            if any(path.iterdir()) and not is_dataset(path):
                raise OutputError(
                    f"{path} is a folder that mminf has not written, so it is not replaced; give the sink another "
                    "path, or move the folder away"
                )
        elif str(sink.config.path) not in known:
            raise OutputError(
                f"{path} is there, and no run into {output} has written it, so it is not replaced; give the sink "
                "another path, choose another --output, or say --force"
            )


def known_datasets(output: Path) -> frozenset[str]:
    """Returns the paths of all datasets that runs into a folder have written or were to write."""
    if not (output / FILE).is_file():
        return frozenset()
    try:
        with Journal(output) as journal:
            return _known(journal)
    except JournalError:
        return frozenset()  # the run itself will say what is wrong with it


def check_recipe(journal: Journal, name: str, output: Path) -> None:
    """Raises OutputError if the journal is of a run of another recipe, whose datasets would be replaced."""
    before = json.loads(journal.meta("recipe") or "{}").get("name")
    if before is not None and before != name:
        raise OutputError(
            f"{output} holds a run of recipe {before!r}, not of {name!r}; choose another --output, or say --force to "
            "replace its datasets"
        )


def warn_of_limit(journal: Journal, limit: int | None, total: int | None, output: Path) -> None:
    """Warns if a limit will make the datasets of a run smaller.

    Args:
        total: records that the run will take, None where that is not known.
    """
    known = json.loads(journal.meta("total") or "null")
    if limit is None or not journal.meta("finished_run") or (known is not None and (total or 0) >= known):
        return
    log.warning(
        "the limit of %d takes fewer records than the last run into %s%s: its datasets will shrink; without the limit "
        "they grow again, and nothing is asked twice",
        limit,
        output,
        "" if known is None else f", which had {known}",
    )


def note_datasets(journal: Journal, sinks: Iterable[Sink]) -> None:
    """Notes in the journal which datasets are about to be written."""
    names = _known(journal) | {str(sink.config.path) for sink in sinks}
    journal.set_meta(WRITTEN, json.dumps(sorted(names)))


def _known(journal: Journal) -> frozenset[str]:
    noted = frozenset(json.loads(journal.meta(WRITTEN) or "[]"))
    # Journals of earlier versions only have the recipe of their last run.
    sinks = json.loads(journal.meta("recipe") or "{}").get("sinks", [])
    return noted | {str(body["path"]) for sink in sinks for body in sink.values() if "path" in body}


def is_worse(sink: Sink, rows: Rows) -> int | None:
    """Returns the number of rows of the dataset that is there, if there are more than would be written now.

    Args:
        rows: what would be written; taken to its end, as far as is needed.
    """
    if is_remote(sink.path) or not (before := count_rows(sink.path)):
        return None
    for _ in rows:
        if rows.rows >= before:
            return None
    return before
