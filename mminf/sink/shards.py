"""Datasets of several files: put in place as a whole, by a rename, or by their manifest, which is sent last."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from mminf.storage import is_remote, send_file

MANIFEST = "manifest.json"


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
        old = path.with_name(f".{path.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        if path.is_file():
            path.unlink()
        elif path.exists():
            path.rename(old)
        part.rename(path)
        shutil.rmtree(old, ignore_errors=True)
        return
    names = [file.name for file in sorted(part.iterdir()) if file.name != last]
    for name in names:
        send_file(part / name, path / name)
    _remove_others(path, {*names, *sent, last})
    send_file(part / last, path / last)
    shutil.rmtree(part)


def _remove_others(path: Path, wanted: set[str]) -> None:
    """Files of an earlier dataset, which may have had more of them."""
    store: Any = path
    if store.exists():
        for item in store.fs.ls(store.path, detail=False):
            name = item.rstrip("/").rpartition("/")[2]
            if name not in wanted and name[:5].isdecimal():
                _remove(path / name)


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
