"""Finds the image columns of rows: the recipe names them, or they are found by name or content."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from mminf.errors import ImageError, SourceError, nearest, shorten_text
from mminf.image import embedded_bytes, looks_like_image_bytes, looks_like_image_name
from mminf.limits import IMAGE_BYTES

STANDARD = ("images", "image")
PEEK = 100
"""Number of rows that are searched for image columns."""
_WORD = r"(?:images?|imgs?|pictures?|pics?|photos?|screenshots?|frames?|views?|jpe?g|png|webp)"
_SUFFIX = r"(?:[_-]?(?:path|file|file_?name|file_?path|url|uri|link|src|bytes|data|base64|b64|local))*"
_FILE = re.compile(r"file_?names?|file_?paths?", re.IGNORECASE)
_NAMED = re.compile(rf"(?P<stem>{_WORD})(?:[_-]?(?P<number>\d+))?(?P<rest>{_SUFFIX})", re.IGNORECASE)
# Images derived from the image: used only if the recipe names them.
_AUXILIARY = re.compile(
    r"mask|thumb|segm|(?:^|[._-])seg|depth|annot|preview|icon|heat|edge|normal|hint|control|reject", re.IGNORECASE
)
_REMOTE = re.compile(r"url|uri|link", re.IGNORECASE)


class _Name(NamedTuple):
    """A parsed column name: `image_2_url` is number 2 of the series `image url`, and remote."""

    series: str
    number: int
    remote: bool
    file: bool


@lru_cache(maxsize=4096)
def _read_name(name: str) -> _Name | None:
    if _FILE.fullmatch(name):
        return _Name(name.lower(), 0, remote=False, file=True)
    if (found := _NAMED.fullmatch(name)) is None:
        return None
    stem, rest = found["stem"].lower(), found["rest"].lower()
    return _Name(f"{stem} {rest}", int(found["number"] or 0), _REMOTE.search(rest) is not None, file=False)


def is_auxiliary(name: str) -> bool:
    """Returns whether a column or file is named like a mask, thumbnail or depth map."""
    return _AUXILIARY.search(name) is not None


@dataclass(frozen=True, slots=True)
class ImageColumns:
    """The image columns of a source.

    Attributes:
        named: the columns that the recipe names, in order; if there are any, no others are used.
        content: a column that contains only images, but does not have the name of an image column.
    """

    named: tuple[str, ...] = ()
    content: str | None = None

    def find(self, row: Mapping[str, object]) -> tuple[str, ...]:
        """Returns the columns of a row that contain its images, in order; none if it has no images.

        `images` and `image` take precedence, with numbered columns of the same word. Then come columns with the name
        of an image column: bytes before paths, paths before URLs. Numbered columns form one list.

        Raises:
            ValueError: if columns with different names contain different images.
        """
        if self.named:
            return tuple(name for name in self.named if not is_empty(row.get(name)))
        if not is_empty(row.get("images")):
            return ("images",)
        series = _find_series(row)
        if not is_empty(row.get("image")):
            return series.get("image ", ("image",))
        if series:
            return _choose_series(row, series.values())
        return (self.content,) if self.content and not is_empty(row.get(self.content)) else ()


def take_images(row: Mapping[str, object], columns: Iterable[str]) -> list[object]:
    """Returns the values of a row's image columns, as `ImageColumns.find` returned them, in one list."""
    values = (row[name] for name in columns)
    items = (item for value in values for item in (value if isinstance(value, list) else [value]))
    return [item for item in items if not is_empty(item)]


def _find_series(row: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    """Returns the columns of a row that are named like image columns; numbered columns form one series, in order."""
    series: dict[str, list[tuple[int, str]]] = {}
    for name, value in row.items():
        if (read := _read_name(name)) is not None and not is_empty(value) and _is_plausible(read, value):
            series.setdefault(read.series, []).append((read.number, name))
    return {word: tuple(name for _, name in sorted(items)) for word, items in series.items()}


def _choose_series(row: Mapping[str, object], series: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Returns the series that takes precedence. Raises ValueError if several do, with different images."""
    ranked: dict[int, list[tuple[str, ...]]] = {}
    for names in series:
        ranked.setdefault(_rank(names[0], row[names[0]]), []).append(names)
    best = ranked[min(ranked)]
    if len(best) > 1 and len({repr([row[name] for name in names]) for names in best}) > 1:
        raise ValueError(
            f"columns {', '.join(name for names in best for name in names)} contain different images; "
            f"choose one in the source, for example `columns: {{image: {best[0][0]}}}`"
        )
    return best[0]


def find_columns(rows: Sequence[Mapping[str, object]]) -> ImageColumns:
    """Returns the image columns of a source.

    Args:
        rows: the first rows.

    Raises:
        SourceError: if several columns contain images and no name decides.
    """
    plan = ImageColumns()
    try:
        if any(plan.find(row) for row in rows):
            return plan
    except ValueError as error:
        raise SourceError(str(error)) from error
    names = list(dict.fromkeys(name for row in rows for name in row))
    holding = [
        name
        for name in names
        if name not in STANDARD and not is_auxiliary(name) and _hold_images(row.get(name) for row in rows)
    ]
    if len(holding) > 1:
        raise SourceError(
            f"columns {', '.join(holding)} contain images, and none is named `image`; choose one in the source, for "
            f"example `columns: {{image: {holding[0]}}}`, or a list for several images per row"
        )
    return ImageColumns(content=holding[0] if holding else None)


def check_named(named: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
    """Raises SourceError if the rows lack a column that the recipe names."""
    known = list(dict.fromkeys(name for row in rows for name in row))
    if missing := [name for name in named if rows and name not in known]:
        told = [f"{name!r}{shorten_text(nearest(name, map(str, known)), 300)}" for name in missing]
        raise SourceError(f"`columns` names what the rows don't have: {', and '.join(told)}")


def map_columns(row: Mapping[str, object], columns: Mapping[str, Sequence[str]]) -> dict[str, object]:
    """Returns a row with the fields that a recipe maps to other columns."""
    taken = {field: names[0] for field, names in columns.items() if field not in STANDARD}
    return {**row, **{field: row[name] for field, name in taken.items() if name in row}}


def drop_binary(fields: Mapping[str, object]) -> tuple[dict[str, object], list[str]]:
    """Returns the fields without binary data, and the names of those with binary data."""
    binary = [name for name, value in fields.items() if _has_bytes(value)]
    return ({name: value for name, value in fields.items() if name not in binary} if binary else dict(fields)), binary


def is_empty(value: object) -> bool:
    """Returns whether a value is empty: null, an empty text, list or file, or an object of nulls."""
    if isinstance(value, dict):
        return all(item is None for item in value.values())
    if isinstance(value, list):
        return all(is_empty(item) for item in value)
    return value is None or value in ("", b"")


def _has_bytes(value: object) -> bool:
    if isinstance(value, dict):
        return any(_has_bytes(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_has_bytes(item) for item in value)
    return isinstance(value, bytes | bytearray | memoryview)


def _rank(name: str, value: object) -> int:
    """Returns the precedence of a column, 0 first: bytes, paths, `file_name`, URLs."""
    read = _read_name(name)
    if _has_bytes(value):
        return 0
    assert read is not None
    return 2 if read.file else 3 if read.remote else 1


def _is_plausible(read: _Name, value: object) -> bool:
    """Returns whether a column named like an image column contains images; their files may be missing or broken."""
    if isinstance(value, list):
        return any(_is_plausible(read, item) for item in value if not is_empty(item))
    if isinstance(value, str):
        bare = read.series.endswith(" ")  # `photo`, unlike `photo_path`, may be a description
        named = not read.file and (not bare or "/" in value) and " " not in value.strip()
        return named or _is_image(value)
    if isinstance(value, dict):
        return bool(value.keys() <= {"bytes", "path", "url"})
    return isinstance(value, bytes)


def _hold_images(values: Iterable[object]) -> bool:
    """Returns whether there are non-empty values and all of them are images."""
    present = [value for value in values if not is_empty(value)]
    return bool(present) and all(_is_image(value) and not _is_sentence(value) for value in present)


def _is_image(value: object) -> bool:
    if isinstance(value, list):
        return all(_is_image(item) for item in value if not is_empty(item))
    if isinstance(value, dict):
        if isinstance(value.get("bytes"), bytes):
            return looks_like_image_bytes(value["bytes"])
        return _is_image(value.get("path") or value.get("url")) if value.keys() <= {"bytes", "path", "url"} else False
    if isinstance(value, bytes):
        return looks_like_image_bytes(value)
    if not isinstance(value, str):
        return False
    try:
        return looks_like_image_name(value) or embedded_bytes(value, IMAGE_BYTES.value) is not None
    except ImageError:  # a broken image: its record fails if the column is used
        return value.startswith("data:")


def _is_sentence(value: object) -> bool:
    """Returns whether a text that ends like a file name may be a sentence: "Compare it with b.png"."""
    return isinstance(value, str) and " " in value.strip() and "/" not in value
