"""Datasets of several files: put in place as a whole, by a rename, or by their manifest, which is sent last."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from mminf.storage import is_remote, send_file

MANIFEST = "manifest.json"
VECTORS = "stats.safetensors"
_OURS = re.compile(
    r"\d{5,}\.(?:jsonl|parquet|tar)|vectors-\d{5,}\.safetensors|index\.jsonl|manifest\.json|stats\.safetensors"
)


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
    """

    def __init__(self, path: Path, ending: str) -> None:
        self.path = path
        self.ending = ending
        self.files: list[dict[str, Any]] = []
        self._part = _part_of(path)

    def __enter__(self) -> Shards:
        if is_remote(self.path):
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
        _put_in_place(self._part, self.path, MANIFEST, {file["name"] for file in self.files})


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
    """Returns what is in a dataset's folder and was not written by mminf."""
    return [path for path in sorted(folder.iterdir()) if not _OURS.fullmatch(path.name) or path.is_dir()]


@contextlib.contextmanager
def replace_folder(path: Path, last: str) -> Iterator[Path]:
    """Yields a local folder to write files to, which then takes the place of `path`, or is sent there.

    Args:
        last: name of the file that is removed first and sent last.
    """
    part = _part_of(path)
    try:
        yield part
        if is_remote(path):
            _remove(path / last)
        _put_in_place(part, path, last, set())
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _part_of(path: Path) -> Path:
    if is_remote(path):
        return Path(tempfile.mkdtemp(prefix="mminf-"))
    part = path.with_name(f".{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    return part


def _put_in_place(part: Path, path: Path, last: str, sent: set[str]) -> None:
    if not is_remote(path):
        _replace_local(part, path)
        return
    names = [file.name for file in sorted(part.iterdir()) if file.name != last]
    for name in names:
        send_file(part / name, path / name)
    _remove_others(path, {*names, *sent, last})
    send_file(part / last, path / last)
    shutil.rmtree(part)


def _replace_local(part: Path, path: Path) -> None:
    """Lets a folder take the place of an older dataset; what else lies in that one stays where it is."""
    old = path.with_name(f".{path.name}.old")
    _take_over(old, path)  # a killed run may have left it
    if path.is_file() or path.is_symlink():
        path.unlink()
    elif path.exists():
        path.rename(old)
    part.rename(path)
    _take_over(old, path)


def _take_over(old: Path, path: Path) -> None:
    """Removes an older dataset, whose other files go to the new one's folder, if that is there."""
    if not old.is_dir():
        return
    if path.is_dir():
        for stranger in find_strangers(old):
            if not (path / stranger.name).exists():
                stranger.rename(path / stranger.name)
    remove_dataset(old)


def remove_dataset(folder: Path) -> None:
    """Removes the files of a dataset, and its folder if nothing else is in it."""
    if not folder.is_dir():
        return
    strangers = set(find_strangers(folder))
    for file in folder.iterdir():
        if file not in strangers:
            file.unlink()
    with contextlib.suppress(OSError):  # not empty
        folder.rmdir()


def _remove_others(path: Path, wanted: set[str]) -> None:
    """Files of an earlier dataset, which may have had more of them."""
    store: Any = path
    if store.exists():
        for item in store.fs.ls(store.path, detail=False):
            name = item.rstrip("/").rpartition("/")[2]
            if name not in wanted and _OURS.fullmatch(name):
                _remove(path / name)


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
