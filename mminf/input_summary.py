"""Reads the first records of an input, to say what it contains before a recipe is chosen."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mminf.errors import ImageError, SourceError, UsageError
from mminf.image import ImagePolicy, decode_image, read_image
from mminf.plugin import discover
from mminf.record import Record
from mminf.registry import SOURCES
from mminf.source.guess import guess_source
from mminf.storage import is_uri

READ = 50
"""Number of records of the input that are read, and of images that are opened."""


@dataclass(frozen=True, slots=True)
class InputSummary:
    """What an input contains.

    Attributes:
        source: the recipe's `source`.
        records: number of records; None if it can't be counted without reading all of them.
        read: number of records that were read.
        with_images: number of these with images.
        fields: fields that all of these have, other than the id.
        partial: fields that some of these have, each with their number.
        bad: number of rows that can't be read, and the first reason.
        broken: number of their images on this machine that can't be opened, and the first reason.
    """

    source: Mapping[str, Any]
    records: int | None
    read: int
    with_images: int
    fields: frozenset[str]
    bad: tuple[int, str]
    broken: tuple[int, str]
    partial: Mapping[str, int] = field(default_factory=dict)

    def including(self, share: float = 0.0) -> InputSummary:
        """Returns the summary with the fields that at least a share of the records have as fields of all of them.

        Records that lack such a field may fail, each with a reason.
        """
        more = {name for name, number in self.partial.items() if number >= share * self.read}
        return replace(self, fields=self.fields | more)


def inspect_input(
    given: str, *, columns: Mapping[str, str | list[str]] | None = None, image_root: str | None = None
) -> InputSummary:
    """Reads the first records of an input.

    Args:
        columns: field -> column that it is read from; `image` can have several.
        image_root: folder that relative paths of images start at.

    Raises:
        SourceError: if it does not exist, can't be read, or has no record.
        UsageError: if the input has no columns to rename, or `image_root` is not a folder.
    """
    discover()
    source = _source(given, columns or {}, image_root)
    ((kind, settings),) = source.items()
    made = SOURCES.get(kind)
    try:
        config = made.Config.model_validate(settings)
    except ValidationError as error:
        raise UsageError(f"{given}: {error.errors()[0]['msg']}") from error
    opened = made(config, Path.cwd(), Path.cwd() / "images")
    opened.check()
    rows = list(itertools.islice(opened.read(), READ))
    records = [row for row in rows if isinstance(row, Record)]
    if not records:
        why = f": {rows[0].reason}" if rows else ": it is empty, or has only a header"
        raise SourceError(f"{given} has no record that can be read{why}")
    fields, partial = _fields(records)
    bad = [row.reason for row in rows if not isinstance(row, Record)]
    broken = _broken_images(records, opened.policy())
    return InputSummary(
        source=source,
        records=len(rows) if len(rows) < READ else opened.count(),
        read=len(records),
        with_images=sum(bool(record.get("images")) for record in records),
        fields=fields - {"id"},
        bad=(len(bad), bad[0] if bad else ""),
        broken=(len(broken), broken[0] if broken else ""),
        partial=partial,
    )


def _source(given: str, columns: Mapping[str, str | list[str]], image_root: str | None) -> dict[str, dict[str, Any]]:
    """Returns a recipe's `source` for an input. Raises UsageError."""
    ((kind, path),) = guess_source(given).items()
    settings: dict[str, Any] = dict(path)
    if columns:
        if kind in ("images", "text"):
            raise UsageError(f"--column renames columns of rows; {given} is read as {kind}")
        settings["columns"] = dict(columns)
    if image_root is not None:
        folder = Path(image_root).expanduser()
        if not is_uri(image_root) and not folder.is_dir():
            raise UsageError(f"--image-root {image_root}: no such folder")
        settings["image_root"] = image_root if is_uri(image_root) else str(folder.resolve())
    return {kind: settings}


def _broken_images(records: Sequence[Record], policy: ImagePolicy) -> list[str]:
    """Returns why the images of records can't be opened; images in stores and on the web are not fetched."""
    given = [record.get("images") for record in records]
    images = itertools.chain.from_iterable(item for item in given if isinstance(item, list))
    found = []
    for item in itertools.islice((item for item in images if isinstance(item, str) and not is_uri(item)), READ):
        try:
            decode_image(read_image(item, policy), item, policy.max_pixels)
        except ImageError as error:
            found.append(str(error))
    return found


def _fields(records: Sequence[Record]) -> tuple[frozenset[str], dict[str, int]]:
    """Returns the fields that all records have, and those that some have, with their number; empty ones are none."""
    filled = Counter(
        name for record in records for name, value in record.fields.items() if value not in (None, "", [], {})
    )
    everywhere = frozenset(name for name, number in filled.items() if number == len(records))
    return everywhere, {name: number for name, number in filled.items() if name not in everywhere}
