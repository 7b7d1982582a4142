"""Converts a rendered text to chat turns: media tags in field values become marks, and marks become parts."""

from __future__ import annotations

import re

from mminf.errors import RecordError
from mminf.media import TAG, has_other_tags
from mminf.template.marks import MARK, has_marks, has_pieces, make_mark
from mminf.turns import REST, Draft, ImagePart, Place, name_tags, split_tags


def split_turns(text: str, name: str) -> tuple[Draft, ...]:
    """Splits a rendered text at its marks.

    Args:
        name: name of the template, for errors.

    Raises:
        RecordError: if a filter of the template cut a mark.
    """
    if not has_marks(text):
        return (Draft("user", (text.strip(),)),) if text.strip() else ()
    turns: list[tuple[str, list[str | ImagePart | Place]]] = [("user", [])]
    last = 0
    for mark in MARK.finditer(text):
        if mark.start() > last:
            turns[-1][1].append(text[last : mark.start()])
        last = mark.end()
        if mark[1].lower() == "role":
            turns.append((mark[2].lower(), []))
        else:
            turns[-1][1].append(_read_place(mark))
    if last < len(text):
        turns[-1][1].append(text[last:])
    if any(has_pieces(part) for _, parts in turns for part in parts if isinstance(part, str)):
        raise RecordError(f"template {name}: a filter cuts a text at the position of an image")
    trimmed = (_trim(role, parts) for role, parts in turns)
    return tuple(turn for turn in trimmed if turn.parts)


def _read_place(mark: re.Match[str]) -> ImagePart | Place:
    kind = mark[1].lower()
    if kind == "image":
        return ImagePart(int(mark[2]))
    return REST if kind == "images" else Place(mark[2], kind == "lead")


def _trim(role: str, parts: list[str | ImagePart | Place]) -> Draft:
    """Removes the white space at both ends of a turn, which is only layout."""
    trimmed = list(parts)
    if trimmed and isinstance(trimmed[0], str):
        trimmed[0] = trimmed[0].lstrip()
    if trimmed and isinstance(trimmed[-1], str):
        trimmed[-1] = trimmed[-1].rstrip()
    return Draft(role, tuple(part for part in trimmed if part != ""))


def lead_with_images(text: str) -> str:
    """Returns a rendered text with its images moved to the start of the first user turn."""
    images = make_mark("images", "")
    if not (first := MARK.match(text.lstrip())) or first[1].lower() != "role":
        return images + text
    text = text.lstrip()
    user = make_mark("role", "user")
    return text.replace(user, user + images, 1) if user in text else text + user + images


def place_tags(value: object, name: str, *, shown: bool) -> object:
    """Replaces the media tags in the value of a field by marks, or by words if no images are shown."""
    if type(value) is str and "<" not in value:  # most values, by far
        return value
    number = 0

    def replace(item: object) -> object:
        nonlocal number
        if isinstance(item, str):
            if has_other_tags(item):
                raise RecordError(f"field {name!r} has a <video> or <audio> tag; video and audio are not supported")
            if TAG not in item:
                return item
            if not shown:
                return name_tags(item)
            number += 1
            pieces = split_tags(item, f"{name}.{number}")
            return "".join(_mark_tag(piece) if isinstance(piece, Place) else piece for piece in pieces)
        if isinstance(item, list):
            return [replace(one) for one in item]
        return {key: replace(one) for key, one in item.items()} if isinstance(item, dict) else item

    return replace(value)


def _mark_tag(place: Place) -> str:
    return make_mark("lead" if place.leads else "tag", place.name)
