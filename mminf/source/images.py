"""`images`: every image in a folder and the folders below it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from mminf.errors import SourceError
from mminf.image import SUFFIXES
from mminf.record import Record
from mminf.source.base import BadRow, Source, clean_id, source
from mminf.storage import is_remote, walk


@source("images")
class Images(Source):
    """A folder of images, read recursively in name order; a record's id is its path below the folder."""

    columns = frozenset({"id", "images"})
    cuts = True

    def check(self) -> None:
        super().check()
        if next(self._files(), None) is None:
            raise SourceError(f"no images in {self.path}; known endings: {', '.join(sorted(SUFFIXES))}")

    def read(self) -> Iterator[Record | BadRow]:
        for seq, (name, path) in enumerate(self._files()):
            clean = clean_id(name)
            if self.part is not None and not self.part.owns(clean):
                continue
            if name != clean:
                yield BadRow(clean, f"file name {clean!r} is not UTF-8; rename the file", seq)
            else:
                yield Record(name, {"id": name, "images": [str(path)]}, seq)

    def count(self) -> int | None:
        # What a store lists takes a request for every thousand.
        return None if is_remote(self.path) else sum(1 for _ in _walk(self.path))

    def fingerprint(self) -> str | None:
        if is_remote(self.path):
            return None
        digest = hashlib.blake2b(digest_size=8)
        for path in _walk(self.path):
            digest.update(os.fsencode(path) + b"\0")
        return digest.hexdigest()

    def _files(self) -> Iterator[tuple[str, Path]]:
        """Yields name and path of every image."""
        if not is_remote(self.path):
            root = self.path.resolve()
            for path in _walk(root):
                yield (path.name if root.is_file() else path.relative_to(root).as_posix()), path
        elif self.path.is_file():
            yield self.path.name, self.path
        else:
            for name, path in walk(self.path):
                if os.path.splitext(name)[1].lower() in SUFFIXES:  # noqa: PTH122 (as below)
                    yield name, path


def _walk(root: Path) -> Iterator[Path]:
    """Yields the image files at and below a path; hidden files and folders are left out.

    Links to files are listed, too; whether they may lead out of the folder is the image policy's matter.
    """
    if root.is_file():
        if root.suffix.lower() in SUFFIXES:
            yield root
        return
    try:
        entries = sorted(os.scandir(root), key=lambda entry: entry.name)
    except OSError as error:
        raise SourceError(f"folder {root} can't be read: {error}") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:  # noqa: PTH122 (a Path an entry is slow)
            yield Path(entry.path)
