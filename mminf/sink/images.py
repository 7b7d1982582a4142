"""Image paths in datasets: unchanged, relative to the dataset, or copies next to it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field

from mminf.errors import RecordError
from mminf.image import as_seen, image_ending
from mminf.recipe.config import SinkConfig
from mminf.record import Record
from mminf.sink.base import Assets, Sink, Written
from mminf.storage import is_remote

_COPY = re.compile(r"[0-9a-f]{32}\.\w+")


class ImagePathsConfig(SinkConfig):
    image_paths: Literal["absolute", "relative"] = Field(
        "absolute", description="Image paths in the rows: absolute, or relative to the folder of the dataset's files."
    )
    copy_images: bool | Literal["as_seen"] = Field(
        False,
        description="Copy the images to the folder `<path>.images` next to the dataset; rows name the copies. With "
        "`as_seen`, images with an EXIF orientation, transparency or more than 8 bits are stored as the models saw "
        "them, as PNG.",
    )


class ImagePathsSink(Sink):
    """Base of the sinks whose rows name image files."""

    config: ImagePathsConfig
    Config = ImagePathsConfig

    def __init__(self, config: ImagePathsConfig, output: Path) -> None:
        super().__init__(config, output)
        self.opens_images = bool(config.copy_images)
        self.copies = self.path.with_name(f"{self.path.name}.images")
        self._assets: Assets | None = None
        self._copied: set[str] = set()
        folder = self.path if config.rows_per_file is not None else self.path.parent
        # `..` is resolved against real folders, not links.
        self._folder = folder if is_remote(folder) else folder.resolve()

    def attach(self, assets: Assets) -> None:
        self._assets = assets

    def name_images(self, images: Iterable[str]) -> list[str]:
        """Returns the paths or URIs of images in the dataset; copies the images if `copy_images` is set.

        Raises:
            ImageError: if an image can't be copied.
        """
        found = [self._copy_image(uri) for uri in images] if self.config.copy_images else list(images)
        return [self._relative(uri) for uri in found] if self.config.image_paths == "relative" else found

    def name_rejected(self, row: dict[str, object]) -> dict[str, object]:
        """Returns a row with the paths of its rejected images (of preference data), named as in `name_images`."""
        rejected = row.get("rejected_images")
        if not isinstance(rejected, list) or not all(isinstance(uri, str) for uri in rejected):
            return row
        return {**row, "rejected_images": self.name_images(rejected)}

    def write(self, records: Iterable[Record]) -> Written:
        self._copied.clear()
        written = super().write(records)
        if written.kept is None:
            self._remove_unused()
        return written

    def _relative(self, uri: str) -> str:
        if is_remote(self._folder):
            start = f"{str(self._folder).rstrip('/')}/"
            above = f"{str(self.path.parent).rstrip('/')}/"
            if uri.startswith(start):
                return uri.removeprefix(start)
            return f"../{uri.removeprefix(above)}" if uri.startswith(above) and start != above else uri
        return uri if "://" in uri or uri.startswith("data:") else os.path.relpath(uri, self._folder)

    def _copy_image(self, uri: str) -> str:
        if self._assets is None:
            raise RecordError("images can be copied only while the datasets of a run are written")
        data = self._assets.image(uri)
        if self.config.copy_images == "as_seen":
            data = as_seen(data, uri)
        path = self.copies / f"{_digest(data)}.{image_ending(data)}"
        if path.name not in self._copied:
            self._copied.add(path.name)
            _store(path, data)
        return str(path if is_remote(path) else path.absolute())

    def _remove_unused(self) -> None:
        """Removes copies that the dataset no longer names."""
        if not self.config.copy_images or not self.copies.is_dir():
            return
        for path in list(self.copies.iterdir()):
            if path.name not in self._copied and _COPY.fullmatch(path.name) and _is_copy(path):
                path.unlink()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _is_copy(path: Path) -> bool:
    """Returns whether a file is a copy of an image by mminf: its name is the digest of its content."""
    return path.is_file() and not path.is_symlink() and _digest(path.read_bytes()) == path.name.partition(".")[0]


def _store(path: Path, data: bytes) -> None:
    if is_remote(path):
        if not path.exists():
            path.write_bytes(data)
        return
    if path.is_file() and path.stat().st_size == len(data):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)
