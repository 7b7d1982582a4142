"""Which columns of rows hold images: by the recipe's word, by name, and by content."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mminf.errors import ImageError, SourceError
from mminf.image import MAX_BYTES, embedded_bytes, looks_like_image_bytes, looks_like_image_name
from mminf.record import Fields

STANDARD = ("images", "image")
PEEK = 100
"""Rows in which columns with images are looked for."""
_WORD = r"(?:images?|imgs?|pictures?|pics?|photos?|screenshots?|frames?|views?|jpe?g|png|webp)"
_SUFFIX = r"(?:[_-]?(?:path|file|file_?name|file_?path|url|uri|link|src|bytes|data|base64|b64|local))*"
_NAMED = re.compile(rf"(?:{_WORD}{_SUFFIX}|file_?names?|file_?paths?)", re.IGNORECASE)
_NUMBERED = re.compile(rf"(?P<stem>{_WORD})[_-]?(?P<number>\d+)(?P<rest>{_SUFFIX})", re.IGNORECASE)
# Pictures about the picture: asked for by name only.
_AUXILIARY = re.compile(
    r"mask|thumb|segment|depth|annot|preview|icon|heat|edge|normal|hint|control|reject", re.IGNORECASE
)
_REMOTE = re.compile(r"url|uri|link", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ImageColumns:
    """Where the images of a row are.

    Attributes:
        choices: alternatives, the best first; a row's images are those of the first that it has. Several columns in one
            alternative are several images, in order.
        found: whether the columns were found by name or content, and not named by the recipe.
    """

    choices: tuple[tuple[str, ...], ...] = ()
    found: bool = False

    def take(self, row: Mapping[str, Any]) -> list[Any]:
        """Returns a row's images as the row has them; none where it has none."""
        for names in self.choices:
            values = (row.get(name) for name in names)
            items = [item for value in values for item in (value if isinstance(value, list) else [value])]
            if items := [item for item in items if not _is_empty(item)]:
                return items
        return []

    def __str__(self) -> str:
        shown = [" and ".join(names) for names in self.choices if names[0] not in STANDARD]
        return f"column {', else '.join(shown)}"

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for names in self.choices for name in names)


def find_columns(rows: Sequence[Mapping[str, Any]]) -> ImageColumns:
    """Returns the columns that hold images, told by the first rows.

    `images` and `image` count, whatever else there is. Else columns that are called like images and hold some; numbered
    ones (`image_0`, `jpg_1`) are one list. Else the one column that holds nothing but images.

    Raises:
        SourceError: if several columns with other names hold images.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    if any(not _is_empty(row.get(name)) for row in rows for name in STANDARD):
        return ImageColumns(tuple((name,) for name in STANDARD))
    holding = [name for name in names if name not in STANDARD and _hold_images(row.get(name) for row in rows)]
    plain = [name for name in holding if _AUXILIARY.search(name) is None]
    named = [name for name in plain if _NAMED.fullmatch(name)]
    plain = [name for name in plain if name in named or not any(_is_sentence(row.get(name)) for row in rows)]
    series = _find_series(plain)
    local = [(name,) for name in named if not _REMOTE.search(name)]
    remote = [(name,) for name in named if _REMOTE.search(name)]
    choices = (*local, *series, *remote)
    if not choices and len(plain) > 1:
        raise SourceError(
            f"columns {', '.join(plain)} hold images, and none is called `image`; say which is meant, for example "
            f"`columns: {{image: {plain[0]}}}` in the source, or a list for several images per row"
        )
    if not choices:
        choices = tuple((name,) for name in plain)
    return ImageColumns((*((name,) for name in STANDARD), *choices), found=bool(choices))


def map_columns(row: Mapping[str, Any], columns: Mapping[str, Sequence[str]]) -> Fields:
    """Returns a row with the fields that a recipe takes from columns of other names."""
    taken = {field: names[0] for field, names in columns.items() if field not in STANDARD}
    return {**row, **{field: row[name] for field, name in taken.items() if name in row}}


def drop_binary(fields: Mapping[str, Any]) -> tuple[Fields, list[str]]:
    """Returns the fields without bytes, and the names of the others."""
    binary = [name for name, value in fields.items() if _has_bytes(value)]
    return ({name: value for name, value in fields.items() if name not in binary} if binary else dict(fields)), binary


def _has_bytes(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_bytes(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_has_bytes(item) for item in value)
    return isinstance(value, bytes | bytearray | memoryview)


def _find_series(names: Sequence[str]) -> list[tuple[str, ...]]:
    found: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for name in names:
        if (match := _NUMBERED.fullmatch(name)) is not None:
            found.setdefault((match["stem"], match["rest"]), []).append((int(match["number"]), name))
    return [tuple(name for _, name in sorted(items)) for items in found.values()]


def _hold_images(values: Iterable[Any]) -> bool:
    """Tells whether all values that are there are images, and there is one."""
    present = [value for value in values if not _is_empty(value)]
    return bool(present) and all(_is_image(value) for value in present)


def _is_image(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_image(item) for item in value)
    if isinstance(value, dict):
        if isinstance(value.get("bytes"), bytes):
            return looks_like_image_bytes(value["bytes"])
        return _is_image(value.get("path") or value.get("url")) if value.keys() <= {"bytes", "path", "url"} else False
    if isinstance(value, bytes):
        return looks_like_image_bytes(value)
    if not isinstance(value, str):
        return False
    try:
        return looks_like_image_name(value) or embedded_bytes(value, MAX_BYTES) is not None
    except ImageError:  # broken: its record says so, if it is meant as an image
        return value.startswith("data:")


def _is_sentence(value: Any) -> bool:
    """Tells whether a text that ends as a file's name does may say something: "Compare it with b.png"."""
    return isinstance(value, str) and " " in value.strip() and "/" not in value


def _is_empty(value: Any) -> bool:
    if isinstance(value, dict):
        return all(item is None for item in value.values())
    return value is None or value == "" or value == []
