"""Replaces datasets without losing files of others or a larger dataset."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple, TypedDict

from mminf.storage import as_remote, is_remote, send_file

MANIFEST = "manifest.json"
VECTORS, INDEX = "stats.safetensors", "index.jsonl"
_VECTORS = re.compile(r"vectors-\d{5,}\.safetensors|index\.jsonl|stats\.safetensors")
_UNFINISHED = re.compile(rf"\d{{5,}}(?:\.\w+)+|manifest\.json|{_VECTORS.pattern}")


class Placed(NamedTuple):
    """The place of a dataset.

    Attributes:
        path: path of the new dataset.
        before: rows of the existing dataset; None if there is none, or its rows are unknown.
        kept: path of the existing dataset below the output folder, if it is not replaced.
    """

    path: Path
    before: int | None
    kept: str | None


@dataclass(frozen=True, slots=True)
class Guard:
    """Decides whether a dataset of a run may replace an existing one.

    Attributes:
        failed: whether the run has records that failed or are not done, so that a smaller dataset is incomplete.
        force: replace in any case.
        rows: rows of the datasets that earlier runs wrote into the output folder, by path; None if unknown.
        same: paths of the datasets that were written with the same failures: `failed` does not concern them.
    """

    failed: bool = False
    force: bool = False
    rows: Mapping[str, int | None] = field(default_factory=dict)
    same: Collection[str] = ()

    def lacks(self, name: str) -> bool:
        """Returns whether a dataset may lack rows that the existing one with its name has."""
        return self.failed and name not in self.same

    def keeps(self, name: str, rows: int, left_out: int, before: int | None) -> bool:
        """Returns whether an existing dataset with `before` rows must not be replaced by one with `rows` rows."""
        lacks = self.lacks(name) or left_out > 0
        return lacks and not self.force and before is not None and rows < before

    def beside(self, path: Path, name: Path) -> Path:
        """Returns a path next to a dataset for one that does not replace it: free, or written by an earlier run."""
        for number in itertools.count(1):
            other = f"new-{path.name}" if number == 1 else f"new-{number}-{path.name}"
            found = path.with_name(other)
            if str(name.with_name(other)) in self.rows or not found.exists():
                return found
        raise AssertionError("unreachable")


def count_folder(path: Path) -> int | None:
    """Returns the number of rows of a dataset of several files, or None if the folder is none, or can't be read."""
    if (manifest := read_manifest(path)) is not None:
        return manifest["rows"]
    if not (path / INDEX).is_file():
        return None
    with (path / INDEX).open("rb") as file:
        return sum(1 for _ in file)


def is_dataset(folder: Path) -> bool:
    """Returns whether a folder is a dataset of mminf: it contains a manifest, or the statistics of vectors."""
    if (folder / VECTORS).is_file() and (folder / INDEX).is_file():
        return True
    return read_manifest(folder) is not None


class Manifest(TypedDict):
    """The manifest of a dataset of several files; the files are not checked."""

    rows: int
    files: list[object]


def read_manifest(folder: Path) -> Manifest | None:
    """Returns the manifest of a dataset of several files, or None if there is none."""
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    ours = isinstance(found, dict) and isinstance(found.get("files"), list) and isinstance(found.get("rows"), int)
    return found if ours else None


def find_strangers(folder: Path) -> list[Path]:
    """Returns the files in a dataset's folder that are not part of the dataset."""
    own = listed_files(folder) | {MANIFEST}
    vectors = (folder / VECTORS).is_file()
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_dir() or not (path.name in own or (vectors and _VECTORS.fullmatch(path.name)))
    ]


def listed_files(folder: Path) -> set[str]:
    """Returns the names of the files that a dataset's manifest lists."""
    manifest = read_manifest(folder)
    files = [] if manifest is None else manifest["files"]
    names = {str(file.get("name")) for file in files if isinstance(file, dict)}
    return {name for name in names if name and "/" not in name and name not in (".", "..")}


@contextlib.contextmanager
def replace_file(path: Path, place: Callable[[], Path] | None = None) -> Iterator[IO[bytes]]:
    """Opens a temporary file that is renamed, or sent to its store, after all of it is written.

    Args:
        place: returns the final path; `path` by default.
    """
    if is_remote(path):
        with tempfile.TemporaryDirectory(prefix="mminf-") as folder:
            copy = Path(folder) / path.name
            with copy.open("wb") as file:
                yield file
            send_file(copy, path if place is None else place())
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)  # opening a link would write to its target
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        put_file(part, path if place is None else place())
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def replace_folder(path: Path, last: str, place: Callable[[], Path] | None = None) -> Iterator[Path]:
    """Yields a local folder to write files to, which then replaces `path`, or is sent there.

    Args:
        last: name of the file that is removed first and sent last.
        place: as for `Shards`.
    """
    part = make_part(path)
    try:
        yield part
        placed = path if place is None else place()
        if is_remote(placed):
            _send_folder(part, placed, last)
        else:
            put_folder(part, placed)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def make_part(path: Path) -> Path:
    """Returns an empty folder for the files of a dataset: next to its path, or a temporary one for a store."""
    if is_remote(path):
        return Path(tempfile.mkdtemp(prefix="mminf-"))
    part = path.with_name(f".{path.name}.part")
    if part.is_symlink() or part.is_file():
        part.unlink()
    elif part.is_dir():
        if strangers := [item for item in part.iterdir() if not _UNFINISHED.fullmatch(item.name)]:
            raise OSError(errno.EEXIST, f"{part} contains files that mminf did not write, such as {strangers[0].name}")
        shutil.rmtree(part)
    part.mkdir(parents=True)
    return part


def put_file(part: Path, path: Path) -> None:
    """Moves a file to its path. An existing dataset of several files is removed.

    Raises:
        OSError: if the existing folder contains other files; nothing has changed then.
    """
    if not path.is_dir() or path.is_symlink():
        part.replace(path)
        return
    if strangers := find_strangers(path):
        raise OSError(errno.ENOTEMPTY, f"the folder has files that mminf did not write, such as {strangers[0].name}")
    old = _make_room(path)
    path.rename(old)
    part.replace(path)
    _remove_dataset(old)


def put_folder(part: Path, path: Path) -> None:
    """Replaces an older dataset by a folder; other files of the older dataset's folder are kept."""
    old = _make_room(path)
    if path.exists() or path.is_symlink():
        path.rename(old)
    part.rename(path)
    _take_over(old, path)


def _old_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def recover(path: Path) -> None:
    """Restores the name of a dataset if a run was killed while it replaced the dataset."""
    old = _old_of(path)
    if not path.exists() and not path.is_symlink() and (old.is_file() or (old.is_dir() and is_dataset(old))):
        old.rename(path)


def _make_room(path: Path) -> Path:
    """Returns a free name for the existing dataset; files left there by a killed run are moved to the dataset."""
    old = _old_of(path)
    _take_over(old, path)
    number = 1
    while old.exists() or old.is_symlink():  # files with the same name as a file of the dataset
        number += 1
        old = path.with_name(f".{path.name}.old-{number}")
    return old


def _take_over(old: Path, path: Path) -> None:
    """Removes an older dataset; other files in its folder are moved to the folder of the new one, if it exists."""
    if old.is_symlink() or old.is_file():
        if path.exists():
            old.unlink()
        return
    if not old.is_dir():
        return
    if path.is_dir():
        for stranger in find_strangers(old):
            if not (path / stranger.name).exists():
                stranger.rename(path / stranger.name)
    _remove_dataset(old)


def _remove_dataset(folder: Path) -> None:
    """Removes the files of a dataset, the manifest last, and its folder if it is empty then."""
    if not folder.is_dir():
        return
    strangers = set(find_strangers(folder))
    own = [file for file in folder.iterdir() if file not in strangers]
    for file in sorted(own, key=lambda file: file.name in (MANIFEST, VECTORS)):
        file.unlink()
    with contextlib.suppress(OSError):  # not empty
        folder.rmdir()


def _send_folder(part: Path, path: Path, last: str) -> None:
    remove_object(path / last)
    names = {file.name for file in part.iterdir()}
    for name in sorted(names - {last}):
        send_file(part / name, path / name)
    store = as_remote(path)
    for item in store.fs.ls(store.path, detail=False) if store.exists() else ():
        name = item.rstrip("/").rpartition("/")[2]
        if name not in names and _VECTORS.fullmatch(name):
            remove_object(path / name)
    send_file(part / last, path / last)


def remove_object(path: Path) -> None:
    """Removes a file or object, if it exists."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
