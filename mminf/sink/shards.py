"""Datasets of several files: put in place as a whole, by a rename, or by their manifest, which is sent last."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from mminf.storage import is_remote, send_file

MANIFEST = "manifest.json"
VECTORS = "stats.safetensors"
_UNFINISHED = re.compile(r"\d{5,}\.\w+|manifest\.json|vectors-\d{5,}\.safetensors|index\.jsonl|stats\.safetensors")
_VECTORS = re.compile(r"vectors-\d{5,}\.safetensors|index\.jsonl|stats\.safetensors")


class Counted(Protocol):
    """What counts the rows that were taken from it."""

    rows: int


class Shards:
    """A folder of numbered files, and a manifest with name, rows, bytes and SHA-256 of each.

    On this machine the folder takes its name when all is written. In a store the old manifest is removed first, every
    file is sent as soon as it is written, and the new manifest comes last: a folder without one is not complete.

    Args:
        path: of the folder.
        ending: of the files.
        place: returns the path that the folder takes in the end, where it is not in a store; `path` by default.
    """

    def __init__(self, path: Path, ending: str, place: Callable[[], Path] | None = None) -> None:
        self.path = path
        self.ending = ending
        self._place = place
        self._old: set[str] = set()
        self.files: list[dict[str, Any]] = []
        self._part = _part_of(path)

    def __enter__(self) -> Shards:
        if is_remote(self.path):
            self._old = _listed(self.path)
            _remove(self.path / MANIFEST)
        return self

    @contextlib.contextmanager
    def file(self, found: Counted) -> Iterator[Path]:
        """Yields the path to write the next file to.

        Args:
            found: counts the rows, of which those that are taken meanwhile are the file's.
        """
        name = f"{len(self.files):05}.{self.ending}"
        path = self._part / name
        before = found.rows
        yield path
        rows = found.rows - before
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.files.append({"name": name, "rows": rows, "bytes": path.stat().st_size, "sha256": digest})
        if is_remote(self.path):
            send_file(path, self.path / name)
            path.unlink()

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is not None:
            shutil.rmtree(self._part, ignore_errors=True)
            return
        manifest = {"format": self.ending, "rows": sum(file["rows"] for file in self.files), "files": self.files}
        (self._part / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        placed = self.path if self._place is None else self._place()
        if is_remote(self.path):
            self._finish_store({file["name"] for file in self.files})
        else:
            put_folder(self._part, placed)

    def _finish_store(self, names: set[str]) -> None:
        """Removes the files of the older dataset, and sends the manifest."""
        for name in sorted(self._old - names):
            _remove(self.path / name)
        send_file(self._part / MANIFEST, self.path / MANIFEST)
        shutil.rmtree(self._part)


def is_dataset(folder: Path) -> bool:
    """Tells whether a folder is a dataset of mminf's: it has the manifest, or the statistics of vectors."""
    if (folder / VECTORS).is_file() and (folder / "index.jsonl").is_file():
        return True
    return read_manifest(folder) is not None


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Returns the manifest of a dataset of several files, None if there is none."""
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    ours = isinstance(found, dict) and isinstance(found.get("files"), list) and isinstance(found.get("rows"), int)
    return found if ours else None


def find_strangers(folder: Path) -> list[Path]:
    """Returns what is in a dataset's folder and not part of it: the manifest names what is."""
    own = _listed(folder) | {MANIFEST}
    vectors = (folder / VECTORS).is_file()
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_dir() or not (path.name in own or (vectors and _VECTORS.fullmatch(path.name)))
    ]


def _listed(folder: Path) -> set[str]:
    """The names of the files that a dataset's manifest lists."""
    manifest = read_manifest(folder) or {"files": []}
    names = {str(file.get("name")) for file in manifest["files"] if isinstance(file, dict)}
    return {name for name in names if name and "/" not in name and name not in (".", "..")}


@contextlib.contextmanager
def replace_folder(path: Path, last: str, place: Callable[[], Path] | None = None) -> Iterator[Path]:
    """Yields a local folder to write files to, which then takes the place of `path`, or is sent there.

    Args:
        last: name of the file that is removed first and sent last.
        place: as for `Shards`.
    """
    part = _part_of(path)
    try:
        yield part
        placed = path if place is None else place()
        if is_remote(path):
            _send_folder(part, path, last)
        else:
            put_folder(part, placed)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _part_of(path: Path) -> Path:
    if is_remote(path):
        return Path(tempfile.mkdtemp(prefix="mminf-"))
    part = path.with_name(f".{path.name}.part")
    if part.is_symlink() or part.is_file():
        part.unlink()
    elif part.is_dir():
        if strangers := [item for item in part.iterdir() if not _UNFINISHED.fullmatch(item.name)]:
            raise OSError(errno.EEXIST, f"{part} has other files in it, such as {strangers[0].name}")
        shutil.rmtree(part)
    part.mkdir(parents=True)
    return part


def put_file(part: Path, path: Path) -> None:
    """Lets a file take its place; a dataset of several files that is there is removed then.

    Raises:
        OSError: if other files lie in its folder; nothing has changed then.
    """
    if not path.is_dir() or path.is_symlink():
        part.replace(path)
        return
    if strangers := find_strangers(path):
        raise OSError(errno.ENOTEMPTY, f"the folder has other files in it, such as {strangers[0].name}")
    old = _make_room(path)
    path.rename(old)
    part.replace(path)
    _remove_dataset(old)


def put_folder(part: Path, path: Path) -> None:
    """Lets a folder take the place of an older dataset; what else lies in that one stays where it is."""
    old = _make_room(path)
    if path.is_file() or path.is_symlink():
        path.unlink()
    elif path.exists():
        path.rename(old)
    part.rename(path)
    _take_over(old, path)


def _old_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def recover(path: Path) -> None:
    """Gives a dataset its name back that a killed run was about to replace."""
    old = _old_of(path)
    if old.is_dir() and is_dataset(old) and not path.exists() and not path.is_symlink():
        old.rename(path)


def _make_room(path: Path) -> Path:
    """Returns a free name for the dataset that is there; what a killed run has left under it goes to that dataset."""
    old = _old_of(path)
    _take_over(old, path)
    number = 1
    while old.exists():  # other files, of a name that the dataset has as well
        number += 1
        old = path.with_name(f".{path.name}.old-{number}")
    return old


def _take_over(old: Path, path: Path) -> None:
    """Removes an older dataset, whose other files go to the new one's folder, if that is there."""
    if not old.is_dir():
        return
    if path.is_dir():
        for stranger in find_strangers(old):
            if not (path / stranger.name).exists():
                stranger.rename(path / stranger.name)
    _remove_dataset(old)


def _remove_dataset(folder: Path) -> None:
    """Removes the files of a dataset, and its folder if nothing else is in it; what lists them goes last."""
    if not folder.is_dir():
        return
    strangers = set(find_strangers(folder))
    own = [file for file in folder.iterdir() if file not in strangers]
    for file in sorted(own, key=lambda file: file.name in (MANIFEST, VECTORS)):
        file.unlink()
    with contextlib.suppress(OSError):  # not empty
        folder.rmdir()


def _send_folder(part: Path, path: Path, last: str) -> None:
    _remove(path / last)
    names = {file.name for file in part.iterdir()}
    for name in sorted(names - {last}):
        send_file(part / name, path / name)
    store: Any = path
    for item in store.fs.ls(store.path, detail=False) if store.exists() else ():
        name = item.rstrip("/").rpartition("/")[2]
        if name not in names and _VECTORS.fullmatch(name):
            _remove(path / name)
    send_file(part / last, path / last)


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
