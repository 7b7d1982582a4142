"""Media in rows: tags are the places where images go, as in ms-swift and LLaVA.

`<image>` in the text of a row from the source marks where its image goes, in prompts and in datasets. If there are
fewer tags than images, the images without a tag come first (ms-swift documentation, "Custom dataset"). Text that a
model wrote holds no places: its tags are broken by a space.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

TAG = "<image>"
CHATS = ("messages", "conversations")
"""Columns with a whole conversation: ms-swift's and LLaVA's."""
_PLACED = (*CHATS, "instruction")
_OTHER_MEDIA = ("videos", "video", "audios", "audio")
_OTHER_TAGS = re.compile(r"<(?:video|audio)>")
_TEXT_KEYS = ("content", "value")
# What ms-swift's templates replace in a text (`Template.special_tokens`), and the form that it loads files by.
_TAGS = re.compile(r"<(/?(?:image|video|audio|img|bbox|ref-object|start-image|cot-process)>)", re.IGNORECASE)


def break_tags(text: str) -> str:
    """Returns a text that a model wrote, with a space in each media tag, so that it marks no place."""
    return _TAGS.sub(r"< \1", text) if "<" in text else text


def break_other_tags(text: str, kept: frozenset[str] = frozenset({TAG})) -> str:
    """Returns a text with a space in each media tag but those that are kept."""
    if "<" not in text:
        return text
    return _TAGS.sub(lambda found: found[0] if found[0] in kept else f"< {found[1]}", text)


def texts_of(value: Any) -> Iterator[str]:
    """Yields all texts in a JSON value, in order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from texts_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_of(item)


def chat_texts(chat: Any) -> Iterator[str]:
    """Yields the texts of a conversation's turns.

    Raises:
        ValueError: if a turn holds media as parts of its content.
    """
    for turn in chat if isinstance(chat, list) else []:
        if not isinstance(turn, Mapping):
            continue
        content = next((turn[key] for key in _TEXT_KEYS if key in turn), None)
        if isinstance(content, list):
            kinds = {str(part.get("type")) for part in content if isinstance(part, Mapping)}
            if other := sorted(kinds - {"text"}):
                raise ValueError(
                    f"a turn has content of type {', '.join(other)}; write <image> tags into the text and list the "
                    "files in `images`"
                )
        yield from texts_of(content)


def count_tags(texts: Iterator[str]) -> int:
    """Returns the number of `<image>` tags in texts."""
    return sum(text.count(TAG) for text in texts)


def check_media(fields: Mapping[str, Any]) -> None:
    """Checks a row's media against its tags.

    Args:
        fields: a row, its images in `images`.

    Raises:
        ValueError: if the row has video or audio, which no step can show yet, or more tags than images.
    """
    for name in _OTHER_MEDIA:
        if isinstance(fields.get(name), str | list | Mapping) and fields[name]:
            raise ValueError(f"has {name!r}, and video and audio are not supported yet")
    images = fields.get("images")
    count = len(images) if isinstance(images, list) else 0
    for name, value in fields.items():
        texts = list(chat_texts(value) if name in CHATS else texts_of(value) if name in _PLACED else ())
        if any(_OTHER_TAGS.search(text) for text in texts) or (isinstance(value, str) and _is_asked_of_other(value)):
            raise ValueError(f"{name!r} has a <video> or <audio> tag, and video and audio are not supported yet")
        if (tags := count_tags(iter(texts))) > count:
            raise ValueError(f"{name!r} has {tags} <image> tags, but the row has {count} images")


def _is_asked_of_other(text: str) -> bool:
    """Tells whether a text of any column begins or ends with a tag, as questions about a video do."""
    text = text.strip()
    return text.startswith(("<video>", "<audio>")) or text.endswith(("<video>", "<audio>"))
