"""`images`: all images in a folder and its subfolders."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from mminf.errors import SourceError
from mminf.image import SUFFIXES
from mminf.record import Record
from mminf.shard import Shard
from mminf.source.base import BadRow, Source, clean_id, source
from mminf.source.folder import ImageWalk, LeftOut, suffix_of
from mminf.storage import is_remote, walk

log = logging.getLogger("mminf")


@source("images")
class Images(Source):
    """A folder of images, read recursively in name order. A record's id is its path relative to the folder."""

    columns = frozenset({"id", "images"})
    cuts = True

    def check(self) -> None:
        super().check()
        if is_remote(self.path):
            found, left = int(next(self._remote_files(LeftOut()), None) is not None), LeftOut()
        else:
            found, left = self._found
        if not found:
            and_left = f" ({left})" if left else ""
            raise SourceError(f"no images in {self.path}{and_left}; known endings: {', '.join(sorted(SUFFIXES))}")
        self._tell(found, left)

    def read(self, shard: Shard | None = None) -> Iterator[Record | BadRow]:
        for seq, (name, path) in enumerate(self._files()):
            clean = clean_id(name)
            if shard is not None and not shard.owns(clean):
                continue
            if name != clean:
                yield BadRow(clean, f"file name {clean!r} is not UTF-8; rename the file", seq)
            else:
                yield Record(name, {"id": name, "images": [str(path)]}, seq)

    def count(self) -> int | None:
        # Listing a store takes one request per thousand objects.
        if is_remote(self.path):
            return None
        return self._found[0]

    @cached_property
    def _found(self) -> tuple[int, LeftOut]:
        """The number of images in a local folder, and the files that are left out, from one walk."""
        images = self._walk()
        return sum(1 for _ in images), images.left

    def fingerprint(self) -> str | None:
        if is_remote(self.path):
            return None
        digest = hashlib.blake2b(digest_size=8)
        for path in self._walk():
            digest.update(os.fsencode(path) + b"\0")
        return digest.hexdigest()

    def _files(self) -> Iterator[tuple[str, Path]]:
        """Yields the name and path of each image."""
        if not is_remote(self.path):
            root = self.path.resolve()
            for path in self._walk():
                yield (path.name if path == root else path.relative_to(root).as_posix()), path
            return
        left, number = LeftOut(), 0
        for item in self._remote_files(left):
            number += 1
            yield item
        self._tell(number, left)

    def _walk(self) -> ImageWalk:
        return ImageWalk(self.path.resolve(), self.policy().roots)

    def _remote_files(self, left: LeftOut) -> Iterator[tuple[str, Path]]:
        if self.path.is_file():
            yield self.path.name, self.path
            return
        for name, path in walk(self.path):
            if (suffix := suffix_of(name)) in SUFFIXES:
                yield name, path
            else:
                left.files[suffix] += 1

    def _tell(self, number: int, left: LeftOut) -> None:
        if left:
            log.warning("images: %s image%s in %s; %s", f"{number:,}", "s" if number != 1 else "", self.path, left)
