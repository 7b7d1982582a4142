"""What a run may replace in its output folder: only what runs into it have written, and nothing better by less."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from mminf.errors import JournalError, OutputError
from mminf.journal import Journal, RunMeta
from mminf.journal.schema import FILE
from mminf.sink.base import Sink, Written
from mminf.sink.placing import is_dataset
from mminf.storage import is_remote

log = logging.getLogger("mminf")
MARKER = ".mminf-datasets.json"
"""File in a folder that datasets were exported to."""


def check_targets(output: Path, sinks: Sequence[Sink]) -> None:
    """Checks, before anything is computed, that no sink would replace what runs into this folder have not written.

    In a store, objects are not asked for one by one.

    Raises:
        OutputError: naming what is in the way.
    """
    if is_remote(output):
        return
    known = known_datasets(output)
    real: dict[Path, Path] = {}
    for sink in sinks:
        path = sink.path
        _check_place(output, path, real)
        if _is_taken(path):
            _check_owner(output, path, is_known=str(sink.config.path) in known)


def _check_place(output: Path, path: Path, real: dict[Path, Path]) -> None:
    """Raises OutputError if a dataset's path leads out of the output, through a file, or to another dataset's path.

    Args:
        real: paths by the places that links lead to; the new one is added.
    """
    for folder in reversed(path.relative_to(output).parents):
        if (output / folder).exists() and not (output / folder).is_dir():
            raise OutputError(f"{path} can't be written: {output / folder} is a file")
    placed = path.parent.resolve() / path.name
    if not placed.is_relative_to(output.resolve()):
        raise OutputError(f"{path} is not below the output folder: a link leads to {placed.parent}")
    if (other := real.setdefault(placed, path)) != path:
        raise OutputError(f"{path} and {other} are one file: a link leads from one to the other")


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _is_taken(path: Path) -> bool:
    """Returns whether a path has anything that a dataset would replace; an empty folder is nothing."""
    if _is_folder(path):
        return any(path.iterdir())
    return path.exists() or path.is_symlink()


def _check_owner(output: Path, path: Path, *, is_known: bool) -> None:
    """Raises OutputError if runs into the output have not written what is at a path."""
    if not is_known:
        raise OutputError(
            f"{path} is there, and no run into {output} has written it, so it is not replaced; give the sink "
            "another path, choose another --output, or use --force"
        )
    if _is_folder(path) and not is_dataset(path):
        raise OutputError(
            f"{path} is a folder that mminf has not written, so it is not replaced; give the sink another path, or "
            "move the folder away"
        )


def known_datasets(output: Path) -> frozenset[str]:
    """Returns the paths of all datasets that runs into a folder have written or were to write."""
    known = frozenset(read_marker(output))
    if not (output / FILE).is_file():
        return known
    try:
        with Journal(output) as journal:
            return known | frozenset(journal.meta.datasets)
    except JournalError:
        return known  # the run itself will say what is wrong with it


def read_marker(folder: Path) -> dict[str, int | None]:
    """Returns the rows of the datasets that exports have written into a folder without a journal, by path."""
    try:
        found = json.loads((folder / MARKER).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_marker(folder: Path, written: Iterable[Written]) -> None:
    """Notes in a folder without a journal which datasets were exported there."""
    noted = read_marker(folder) | {item.path: item.rows for item in written}
    (folder / MARKER).write_text(json.dumps(noted, indent=1) + "\n")


def check_recipe(before: str | None, name: str, output: Path) -> None:
    """Raises OutputError if the last run into an output was one of another recipe: its datasets would be replaced.

    Args:
        before: name of its recipe.
    """
    if before is not None and before != name:
        raise OutputError(
            f"{output} contains a run of recipe {before!r}, not of {name!r}; choose another --output, or use --force "
            "to replace its datasets"
        )


def warn_of_limit(journal: Journal, limit: int | None, total: int | None, output: Path) -> None:
    """Warns if a limit will make the datasets of a run smaller.

    Args:
        total: records that the run will take, None where that is not known.
    """
    if limit is None or not journal.meta.has_finished:
        return
    known = journal.meta.total
    before = journal.outcomes.count_final() if known is None else known
    if (limit if total is None else total) >= before:
        return
    log.warning(
        "the limit of %d takes fewer records than the last run into %s, which had %d: its datasets will shrink; "
        "without the limit they grow again, and no call is made twice",
        limit,
        output,
        before,
    )


def note_datasets(meta: RunMeta, sinks: Iterable[Sink]) -> None:
    """Notes in a journal which datasets are about to be written."""
    begun: dict[str, int | None] = {str(sink.config.path): None for sink in sinks}
    meta.note_datasets(begun | meta.datasets)
