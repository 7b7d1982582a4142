"""Media in rows: tags are the positions of images, as in ms-swift and LLaVA.

`<image>` in the text of a source's row is the position of an image, in prompts and in datasets. If there are fewer
tags than images, the images without a tag come first (ms-swift documentation, "Custom dataset"). Model output has no
positions: a space breaks its tags.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

TAG = "<image>"
CHATS = ("messages", "conversations", "rejected_messages")
"""Columns with a whole conversation: ms-swift's and LLaVA's."""
OWN_CHATS = CHATS[:2]
_PLACED = (*OWN_CHATS, "instruction")
_FILMS = (
    "mp4",
    "m4v",
    "avi",
    "mov",
    "mkv",
    "webm",
    "mpg",
    "mpeg",
    "mpeg4",
    "wmv",
    "flv",
    "3gp",
    "ogv",
    "mjpeg",
    "gifv",
)
_SOUNDS = ("wav", "mp3", "flac", "ogg", "m4a", "opus", "aac", "wma", "aiff", "amr")
OTHER_MEDIA_ENDINGS = frozenset({*_FILMS, *_SOUNDS})
"""Extensions of video and audio files."""
_FILE_SUFFIX = r"[_-]?(?:path|file|file_?name|url|uri|link|bytes|data|src)s?"
_OTHER_COLUMN = re.compile(rf"(?:video|audio)s?(?P<rest>{_FILE_SUFFIX}|[_-]?\d+)?", re.IGNORECASE)
_OTHER_FILE = re.compile(rf"[^\n]{{1,1000}}\.(?:{'|'.join(sorted(OTHER_MEDIA_ENDINGS))})(?:\?\S*)?", re.IGNORECASE)
_SPOKEN = frozenset(
    {"instruction", "response", "answer", "question", "prompt", "query", "text", "caption", "output", "input"}
)
_OTHER_TAGS = re.compile(r"<(?:video|audio)>")
_HOLDERS = (str, bytes, list, Mapping)
_TEXT_KEYS = ("content", "value")
# What ms-swift's templates replace in a text (`Template.special_tokens`), and the form by which it loads files.
_TAGS = re.compile(r"<(/?(?:image|video|audio|img|bbox|ref-object|start-image|cot-process)>)", re.IGNORECASE)


def break_tags(text: str) -> str:
    """Returns model output with a space in each media tag, so that it is not a position."""
    return _TAGS.sub(r"< \1", text) if "<" in text else text


def break_other_tags(text: str, kept: frozenset[str] = frozenset({TAG})) -> str:
    """Returns a text with a space in each media tag, except those in `kept`."""
    if "<" not in text:
        return text
    return _TAGS.sub(lambda found: found[0] if found[0] in kept else f"< {found[1]}", text)


def texts_of(value: object) -> Iterator[str]:
    """Yields all texts in a JSON value, in order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from texts_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_of(item)


def chat_texts(chat: object) -> Iterator[str]:
    """Yields the texts of a conversation's turns.

    Raises:
        ValueError: if the content of a turn has parts with media.
    """
    if isinstance(chat, str) and chat.lstrip().startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            chat = json.loads(chat)
    if not isinstance(chat, list):
        yield from texts_of(chat)
        return
    for turn in chat:
        if not isinstance(turn, Mapping):
            yield from texts_of(turn)
            continue
        _check_columns(turn)
        content = next((turn[key] for key in _TEXT_KEYS if key in turn), None)
        parts = content if isinstance(content, list) else [content]
        kinds = {str(part.get("type")) for part in parts if isinstance(part, Mapping)}
        if other := sorted(kinds - {"text"}):
            raise ValueError(
                f"a turn has content of type {', '.join(other)}; write <image> tags into the text and list the files "
                "in `images`"
            )
        yield from texts_of(content)


def count_tags(texts: Iterable[str]) -> int:
    """Returns the number of `<image>` tags in texts."""
    return sum(text.count(TAG) for text in texts)


def check_other_media(row: Mapping[str, object]) -> None:
    """Checks that a row has no video or audio, which no step supports yet.

    Raises:
        ValueError: if it has such a column, or a tag in a conversation or at the start or end of a text.
    """
    _check_columns(row)
    for name, value in row.items():
        if type(value) is str and "<" not in value and name not in CHATS:
            continue
        texts = list(chat_texts(value) if name in CHATS else texts_of(value) if name in _PLACED else ())
        if any(has_other_tags(text) for text in texts) or (isinstance(value, str) and _is_asked_of_other(value)):
            raise ValueError(f"{name!r} has a <video> or <audio> tag, and video and audio are not supported yet")


def has_other_tags(text: str) -> bool:
    """Returns whether a text has a `<video>` or `<audio>` tag."""
    return "<" in text and _OTHER_TAGS.search(text) is not None


def check_media(fields: Mapping[str, object]) -> None:
    """Checks that a row does not have more tags than images, and has no other media.

    Args:
        fields: a row, its images in `images`.

    Raises:
        ValueError: as `check_other_media`, or if the row has more tags than images.
    """
    check_other_media(fields)
    images = fields.get("images")
    count = len(images) if isinstance(images, list) else 0
    for name in _PLACED:
        if (value := fields.get(name)) is None:
            continue
        tags = count_tags(chat_texts(value) if name in CHATS else texts_of(value))
        if tags > count:
            raise ValueError(f"{name!r} has {tags} <image> tags, but the row has {count} images")


def _check_columns(row: Mapping[str, object]) -> None:
    pictured = any(row.get(name) for name in ("images", "image"))
    for name, value in row.items():
        if not isinstance(value, _HOLDERS) or not _holds_anything(value):
            continue
        called = _read_other(str(name))
        # A row with images may contain the name of the video that they are from.
        if (called is not None and (not called["rest"] or not pictured)) or (
            not pictured and name not in _SPOKEN and _names_other(value)
        ):
            raise ValueError(f"has {name!r}, and video and audio are not supported yet")


@lru_cache(maxsize=4096)
def _read_other(name: str) -> re.Match[str] | None:
    return _OTHER_COLUMN.fullmatch(name)


def _holds_anything(value: object) -> bool:
    if type(value) is str:
        return value != ""
    if isinstance(value, Mapping):
        return any(_holds_anything(item) for item in value.values())
    if isinstance(value, list):
        return any(_holds_anything(item) for item in value)
    return value is not None and value not in ("", b"", False)


def _names_other(value: object) -> bool:
    """Returns whether a value is the name of a video or audio file, or a list of such names."""
    if isinstance(value, str):
        return "." in value and _OTHER_FILE.fullmatch(value.strip()) is not None
    if isinstance(value, list):
        return bool(value) and all(_names_other(item) for item in value)
    if isinstance(value, Mapping):  # a file in the format of `datasets`
        return any(_names_other(value.get(name)) for name in ("path", "url"))
    return False


def _is_asked_of_other(text: str) -> bool:
    """Returns whether a text starts or ends with such a tag, as questions about a video do."""
    text = text.strip()
    return text.startswith(("<video>", "<audio>")) or text.endswith(("<video>", "<audio>"))
