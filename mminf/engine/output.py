"""Protects files in an output folder that runs into this folder have not written."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from mminf.errors import JournalError, OutputError
from mminf.journal import Journal, RunMeta
from mminf.journal.kept import Failed, read_failed, same_failures
from mminf.journal.schema import FILE
from mminf.record import Fields
from mminf.sink.base import Sink, Written
from mminf.sink.placing import is_dataset
from mminf.source.base import Source
from mminf.storage import is_remote

log = logging.getLogger("mminf")
_INPUT = "input"
MARKER = ".mminf-datasets.json"
"""File in a folder that datasets were exported to."""


def check_targets(output: Path, sinks: Sequence[Sink]) -> None:
    """Checks, before anything is computed, that no sink would replace a file that mminf did not write.

    A store is not checked, because each path would cost a request.

    Raises:
        OutputError: if a sink would; the message names the file.
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
        real: paths by their targets, with links resolved; the new path is added.
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
    """Returns whether a dataset would replace something at a path; an empty folder does not count."""
    if _is_folder(path):
        return any(path.iterdir())
    return path.exists() or path.is_symlink()


def _check_owner(output: Path, path: Path, *, is_known: bool) -> None:
    """Raises OutputError if the file or folder at a path was not written by runs into the output."""
    if not is_known:
        raise OutputError(
            f"{path} exists, and no run into {output} has written it, so it is not replaced; give the sink "
            "another path, choose another --output, or use --force"
        )
    if _is_folder(path) and not is_dataset(path):
        raise OutputError(
            f"{path} is a folder that mminf has not written, so it is not replaced; give the sink another path, or "
            "move the folder away"
        )


def known_datasets(output: Path) -> frozenset[str]:
    """Returns the paths of all datasets that runs into a folder have written or intended to write."""
    known = frozenset(read_marker(output))
    if not (output / FILE).is_file():
        return known
    try:
        with Journal(output) as journal:
            return known | frozenset(journal.meta.datasets)
    except JournalError:
        return known  # the run itself reports the error


class Exported(NamedTuple):
    """A dataset that an export has written.

    Attributes:
        rows: None if unknown.
        whole, part: as in `Written`.
        split: settings of the split, as JSON values, if this is a part.
        digest: of the outcomes that it was written from; None for exports of earlier versions.
        at: when it was written, in seconds since 1970.
        failed: ids of the records that had failed; None if unknown.
    """

    rows: int | None
    whole: str | None = None
    part: str | None = None
    split: Fields | None = None
    digest: str | None = None
    at: float | None = None
    failed: list[str] | None = None


def read_marker(folder: Path) -> dict[str, int | None]:
    """Returns the rows of the datasets that exports have written into a folder without a journal, by path."""
    return {path: found.rows for path, found in read_exported(folder).items()}


def read_exported(folder: Path) -> dict[str, Exported]:
    """Returns the datasets that exports have written into a folder, by path."""
    try:
        noted = json.loads((folder / MARKER).read_bytes())
    except (OSError, ValueError):
        return {}
    return {path: _exported(found) for path, found in noted.items()} if isinstance(noted, dict) else {}


def _exported(noted: object) -> Exported:
    """Returns a dataset from the marker: its rows, or an object with its rows, its whole and its part."""
    found = noted if isinstance(noted, dict) else {"rows": noted}
    rows, whole, part, split, digest, at, failed = (found.get(name) for name in Exported._fields)
    return Exported(
        rows if isinstance(rows, int) else None,
        whole if isinstance(whole, str) else None,
        part if isinstance(part, str) else None,
        split if isinstance(split, dict) else None,
        digest if isinstance(digest, str) else None,
        at if isinstance(at, float) else None,
        failed if isinstance(failed, list) else None,
    )


def write_marker(
    folder: Path, written: Iterable[Written], split: Fields | None, digest: str, failed: list[str] | None
) -> None:
    """Notes in a folder which datasets were exported there.

    Args:
        split: settings of the split, as JSON values.
        digest: of the outcomes that they were written from.
        failed: ids of the records that had failed; None if there were too many.
    """
    now = time.time()
    new = {item.path: Exported(item.rows, item.whole, item.part, split, digest, now, failed) for item in written}
    noted = {path: found._asdict() for path, found in (read_exported(folder) | new).items()}
    (folder / MARKER).write_text(json.dumps(noted, indent=1) + "\n")


def known_failures(meta: RunMeta, output: Path, failed: list[str] | None) -> frozenset[str]:
    """Returns the datasets in an output that were written with the same failures, by a run or by an export since.

    Args:
        failed: ids of the records that have failed now; None if there are too many.
    """
    known = read_failed(meta)
    for path, found in ({} if is_remote(output) else read_exported(output)).items():
        if found.at is not None and (path not in known or found.at > known[path].at):
            known[path] = Failed(found.at, found.failed)
    return same_failures(failed, known)


def check_recipe(before: str | None, name: str, output: Path) -> None:
    """Raises OutputError if the last run into an output had another recipe, because its datasets would be replaced.

    Args:
        before: name of the recipe of the last run.
    """
    if before is not None and before != name:
        raise OutputError(
            f"{output} contains a run of recipe {before!r}, not of {name!r}; choose another --output, or use --force "
            "to replace its datasets"
        )


def warn_of_limit(journal: Journal, limit: int | None, total: int | None, output: Path) -> None:
    """Warns if a limit will make the datasets of a run smaller.

    Args:
        total: number of records that the run will take; None if unknown.
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


def input_of(source: Source) -> str:
    """Returns the whole path or the URI of an input."""
    return str(source.path if is_remote(source.path) else source.path.resolve())


def known_input(meta: RunMeta) -> str | None:
    """Returns the input of the run that has written the datasets last; None if there is none, or it is not known."""
    return meta.get(_INPUT)


def note_input(meta: RunMeta, source: Source) -> None:
    """Notes the input whose datasets are written."""
    meta.set(_INPUT, input_of(source))


def warn_of_input(meta: RunMeta, source: Source, output: Path) -> None:
    """Warns if a run reads another input than the one that wrote the datasets of its output, which it will replace."""
    before = known_input(meta)
    if before is not None and before != (now := input_of(source)):
        log.warning(
            "the datasets in %s are of %s; this run reads %s, and replaces them; another --output keeps them",
            output,
            before,
            now,
        )


def note_datasets(meta: RunMeta, sinks: Iterable[Sink]) -> None:
    """Notes in a journal which datasets are about to be written."""
    begun: dict[str, int | None] = {str(sink.config.path): None for sink in sinks}
    meta.note_datasets(begun | meta.datasets)
