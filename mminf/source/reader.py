"""Converts rows to records: sets their ids, finds their images, checks their media."""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mminf.errors import ImageError, shorten_text
from mminf.image import embedded_bytes
from mminf.limits import IMAGE_BYTES
from mminf.media import check_media, check_other_media
from mminf.recipe.config import SourceConfig
from mminf.record import Fields, Record
from mminf.shard import Shard
from mminf.source.base import BadRow, Numbered, Source, json_fields
from mminf.source.columns import (
    PEEK,
    STANDARD,
    ImageColumns,
    check_named,
    drop_binary,
    find_columns,
    is_auxiliary,
    is_empty,
    map_columns,
    take_images,
)
from mminf.storage import is_remote

log = logging.getLogger("mminf")
# Errors of rows that can't be converted to a record.
UNREADABLE = (TypeError, ValueError, OSError, RecursionError, OverflowError, ImageError)


class RowReader:
    """Converts the rows of a source to records.

    Args:
        numbered: assigns ids and numbers to records.
        images: the columns with images.
        renamed: field -> the columns that the recipe takes it from.
        scratch: folder that images embedded in rows are written to, each once.
        told: columns that were already logged.
        image_root: folder of relative image paths; None: the folder passed to `read`.
    """

    def __init__(
        self,
        numbered: Numbered,
        images: ImageColumns,
        *,
        renamed: Mapping[str, list[str]],
        scratch: Path,
        told: set[str],
        image_root: Path | None = None,
    ) -> None:
        self.numbered = numbered
        self.images = images
        self.renamed = renamed
        self.scratch = scratch
        self.image_root = image_root
        self._told = told

    def read(self, row: Mapping[str, object], where: str, folder: Path) -> Iterator[Record | BadRow]:
        """Yields the record of a row of JSON or Arrow values, if it belongs to the shard.

        The id is set before images are unpacked, so that no images of other shards are written.

        Args:
            where: file and line, for errors.
            folder: folder of relative image paths.
        """
        try:
            name = self.numbered.name(row)
        except UNREADABLE as error:
            yield from self.numbered.maybe_bad(where, f"{where} can't be read: {error}")
            return
        if name is None:
            return
        try:
            fields = self.fields(row, folder)
        except UNREADABLE as error:
            yield self.numbered.bad(where, shorten_text(f"{where} can't be read: {error}", 300))
            return
        yield self.numbered.record(name, fields)

    def fields(self, row: Mapping[str, object], folder: Path) -> Fields:
        """Returns a row's fields, with its images in `images` as absolute paths or URIs.

        Raises:
            ValueError, ImageError: if an embedded image is broken, or tags and media don't match.
        """
        check_other_media(row)
        sources = self.images.find(row)
        taken = take_images(row, sources)
        fields = map_columns(row, self.renamed)
        if taken:
            fields["images"] = [self._uri(item, folder) for item in taken]
            for name in sources:
                if name != "images" and _is_embedded(fields.get(name)):
                    del fields[name]
            self._tell("images are in column %s", [name for name in sources if name not in STANDARD])
        elif self.images.named or not isinstance(fields.get("images"), list | None):
            fields.pop("images", None)  # the recipe names other columns, or the value is not a list
        if isinstance(rejected := fields.get("rejected_images"), list):
            fields["rejected_images"] = [self._uri(item, folder) for item in rejected if not is_empty(item)]
        fields, binary = drop_binary(fields)
        self._tell("binary data is left out: column %s", binary)
        plain = json_fields(fields)
        check_media(plain)
        return plain

    def _tell(self, line: str, names: Sequence[str]) -> None:
        """Logs a line about columns, once per column."""
        if new := [name for name in names if name not in self._told]:
            self._told.update(new)
            log.info(line, ", ".join(new))

    def _uri(self, item: object, folder: Path) -> str:
        if isinstance(item, Mapping):
            item = item["bytes"] if item.get("bytes") is not None else item.get("path") or item.get("url")
        if isinstance(item, bytes):
            return self._store(item)
        if not isinstance(item, str):
            raise ValueError(f"an image must be a path, a URI or the file's bytes, not {type(item).__name__}")
        if item.startswith(("b'", 'b"')):
            raise ValueError(f"an image must be a path, a URI or the file's bytes, not {shorten_text(item, 60)!r}")
        if (data := embedded_bytes(item, IMAGE_BYTES.value)) is not None:
            return self._store(data)
        return item if "://" in item else str((self.image_root or folder) / item)

    def _store(self, data: bytes) -> str:
        path = self.scratch / hashlib.sha256(data).hexdigest()[:32]
        if is_remote(path):
            if not path.exists():
                path.write_bytes(data)
        elif not path.exists():
            self.scratch.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f"{path.name}.{os.getpid()}.part")  # several shards may write the same image
            partial.write_bytes(data)
            partial.rename(path)
        return str(path)


def _is_embedded(value: object) -> bool:
    """Returns whether a value contains files, not names of files."""
    if isinstance(value, list):
        return any(_is_embedded(item) for item in value)
    if isinstance(value, Mapping):
        return value.get("bytes") is not None
    if isinstance(value, str):
        return embedded_bytes(value, IMAGE_BYTES.value) is not None
    return isinstance(value, bytes)


def named_columns(config: SourceConfig) -> tuple[str, ...]:
    """Returns the columns that a recipe names as images, in order."""
    return tuple(name for field in STANDARD for name in config.columns.get(field, ()))


class RowSource(Source):
    """Base of the sources whose records are rows with columns.

    The first rows decide which column contains images, if it is found by content.
    """

    cuts = True

    def __init__(self, config: SourceConfig, base: Path, scratch: Path) -> None:
        super().__init__(config, base, scratch)
        self._images: ImageColumns | None = None
        self._told: set[str] = set()

    @abstractmethod
    def _first_rows(self) -> Iterator[Mapping[str, object]]:
        """Yields the first readable rows."""

    def _open_reader(self, shard: Shard | None) -> RowReader:
        """Returns the reader of the rows.

        Raises:
            SourceError: if several columns contain images and none is named like an image column.
        """
        if self._images is None:
            rows = list(itertools.islice(self._first_rows(), PEEK))
            named = named_columns(self.config)
            check_named([name for names in self.config.columns.values() for name in names], rows)
            self._images = ImageColumns(named) if named else find_columns(rows)
            aside = sorted({name for row in rows for name in row if is_auxiliary(name)})
            if aside and not named and not any(self._images.find(row) for row in rows):
                log.info("not used as images: column %s; to use it, set `columns: {image: ...}`", ", ".join(aside))
        return RowReader(
            Numbered(self.config.id, shard),
            self._images,
            renamed=self.config.columns,
            scratch=self.scratch,
            told=self._told,
            image_root=self.image_root,
        )
