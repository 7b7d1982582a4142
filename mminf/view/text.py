"""Texts as the app sends them: without secrets, and long ones in pieces."""

from __future__ import annotations

import json
from typing import NotRequired, TypedDict

from mminf.errors import UsageError
from mminf.redact import redact

PIECE = 20_000
"""Maximum number of characters of a text that is sent at a time."""
FOLDED = 4_000
"""The same for a text that is folded at first, such as a prompt."""

_LINE = 100

Place = list[str | int]
"""Where a text is in a record's history, as `mminf.view.history` makes and reads it."""


class Piece(TypedDict):
    """The beginning of a text, or a later part of it.

    Attributes:
        end: number of characters up to the end of this part.
        length: number of characters of the whole text.
        place: where the whole text is; only if this is the beginning, and not all of it.
    """

    text: str
    end: int
    length: int
    place: NotRequired[Place]


def safe(text: str) -> str:
    """Returns a text without secrets, and without lone surrogates, which JSON in UTF-8 can't have."""
    return redact(text).encode("utf-8", "replace").decode("utf-8")


def json_text(value: object) -> str:
    """Returns a text as it is, and other values as JSON: on one line if it is short."""
    if isinstance(value, str):
        return value
    line = json.dumps(value, ensure_ascii=False)
    return line if len(line) <= _LINE else json.dumps(value, ensure_ascii=False, indent=1)


def begin(value: object, place: Place, most: int = PIECE) -> Piece:
    """Returns the beginning of a value's text."""
    text = safe(json_text(value))
    if len(text) <= most:
        return Piece(text=text, end=len(text), length=len(text))
    return Piece(text=text[:most], end=most, length=len(text), place=place)


def go_on(value: object, offset: int, length: int) -> Piece:
    """Returns the part of a value's text after the parts that were sent.

    Args:
        offset: number of characters that were sent.
        length: number of characters of the text when its beginning was sent.

    Raises:
        UsageError: if the text has changed since.
    """
    text = safe(json_text(value))
    if len(text) != length:
        raise UsageError("the record has changed; open it again")
    part = text[offset : offset + PIECE]
    return Piece(text=part, end=offset + len(part), length=length)
