"""Datasets of several files, replaced atomically: by a rename, or in a store by the manifest, which is sent last."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypedDict

from mminf.sink.placing import MANIFEST, listed_files, make_part, put_folder, remove_object
from mminf.storage import is_remote, send_file


class ShardFile(TypedDict):
    """A file of a dataset, as its manifest lists it."""

    name: str
    rows: int
    bytes: int
    sha256: str


class Counted(Protocol):
    """An iterator that counts the rows that were taken from it."""

    rows: int


class Shards:
    """A folder of numbered files, and a manifest with name, rows, bytes and SHA-256 of each.

    On this machine the folder is renamed after all files are written. In a store the old manifest is removed first,
    each file is sent as soon as it is written, and the new manifest is sent last: a folder without one is incomplete.

    Args:
        path: path of the folder.
        ending: ending of the files.
        place: returns the final path of a local folder; `path` by default.
    """

    def __init__(self, path: Path, ending: str, place: Callable[[], Path] | None = None) -> None:
        self.path = path
        self.ending = ending
        self._place = place
        self._old: set[str] = set()
        self.files: list[ShardFile] = []
        self._part = make_part(path)

    def __enter__(self) -> Shards:
        if is_remote(self.path):
            self._old = listed_files(self.path)
            remove_object(self.path / MANIFEST)
        return self

    @contextlib.contextmanager
    def file(self, found: Counted) -> Iterator[Path]:
        """Yields the path to write the next file to.

        Args:
            found: counts the rows; the rows taken until the context ends are those of the file.
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
        if is_remote(self.path):
            self._finish_store({file["name"] for file in self.files})
        else:
            put_folder(self._part, self.path if self._place is None else self._place())

    def _finish_store(self, names: set[str]) -> None:
        """Removes files of the older dataset that were not replaced, and sends the manifest."""
        for name in sorted(self._old - names):
            remove_object(self.path / name)
        send_file(self._part / MANIFEST, self.path / MANIFEST)
        shutil.rmtree(self._part)
