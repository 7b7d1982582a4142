"""The images of a record, in its fields and in templates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import jinja2

from mminf.errors import RecordError
from mminf.template.marks import make_mark

Shown = bool | Literal["optional"]
"""Whether a prompt shows the record's images: `true` requires at least one, `optional` does not."""


def images_in(fields: Mapping[str, object]) -> list[str]:
    """Returns a record's images; none if the field is missing or null.

    Raises:
        RecordError: if the value is not a list of texts.
    """
    found = fields.get("images")
    if found is None:
        return []
    if not isinstance(found, list):
        raise RecordError(f"field 'images' is not a list, but {type(found).__name__}")
    for image in found:
        if not isinstance(image, str):
            raise RecordError(f"field 'images' contains {type(image).__name__}, not a path or URI")
    return found


class Images:
    """The variable `images` of a template: prints all images; `images[i]` prints one."""

    def __init__(self, count: int) -> None:
        self._marks = [make_mark("image", str(index)) for index in range(count)]

    def __str__(self) -> str:
        return make_mark("images", "") if self._marks else ""

    def __getitem__(self, index: int | slice) -> str:
        try:
            found = self._marks[index]
        except (IndexError, TypeError) as error:
            count = len(self._marks)
            raise jinja2.TemplateRuntimeError(f"images[{index!r}]: the record has {count} images") from error
        return found if isinstance(found, str) else "".join(found)

    def __iter__(self) -> Iterator[str]:
        return iter(self._marks)

    def __len__(self) -> int:
        return len(self._marks)
