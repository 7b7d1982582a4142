"""Reads conversations from rows: ms-swift's, LLaVA's and ShareGPT's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

SHAPES = (
    "`messages` (ms-swift), `conversations` (LLaVA, ShareGPT), `conversation` (pairs of `human` and `assistant`), "
    "`query` (and `response`), or `instruction` with `response` or `output`"
)
_ROLES: dict[str, str | None] = {
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "bot", "model", "chatgpt"), "assistant"),
    **dict.fromkeys(("system", "developer", "tool", "tool_response", "observation"), None),
    **dict.fromkeys(("function_response", "tool_call", "function_call"), None),
}
"""Roles, and whose text a turn is; None: it is neither an instruction nor a response."""
_TAG = re.compile(r"<(?:image|video|audio)>")

ImageValue: TypeAlias = str | bytes
"""A path, a URI, base64, or the bytes of a file."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A row: its texts without media tags, and its images.

    Attributes:
        shape: the column that contains the conversation.
        instructions: texts of the user's turns.
        responses: texts of the assistant's turns.
        where: file and place, for errors.
    """

    shape: str
    instructions: tuple[str, ...]
    responses: tuple[str, ...]
    images: tuple[ImageValue, ...]
    where: str = ""


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A row that can't be read, and why."""

    where: str
    reason: str


def read_conversation(row: Mapping[str, object], where: str = "") -> Conversation:
    """Returns the conversation of a row.

    Raises:
        ValueError: if the row has none, or it can't be read.
    """
    turns: list[tuple[str, str]] = []
    images = [*_images(row.get("images")), *_images(row.get("image"))]
    shape = _find_shape(row)
    for role, content in _turns(shape, row):
        if not isinstance(role, str) or role not in _ROLES:
            raise ValueError(f"a turn of `{shape}` has the unknown role {role!r:.60}")
        if (side := _ROLES[role]) is not None:
            text, shown = _read_content(content)
            images += shown
            turns.append((side, text))
    if not turns:
        raise ValueError(f"`{shape}` has no turn of a user or an assistant")
    return Conversation(
        shape,
        tuple(text for role, text in turns if role == "user"),
        tuple(text for role, text in turns if role == "assistant"),
        tuple(images),
        where,
    )


def _find_shape(row: Mapping[str, object]) -> str:
    for name in ("messages", "conversations", "conversation"):
        if isinstance(_unpack(row.get(name)), list):
            return name
    if isinstance(row.get("query"), str):
        return "query"
    if isinstance(row.get("instruction"), str) and any(
        isinstance(row.get(name), str) for name in ("response", "output")
    ):
        return "instruction"
    raise ValueError(f"has none of {SHAPES}; its columns are {', '.join(map(str, row))[:200] or 'none'}")


def _turns(shape: str, row: Mapping[str, object]) -> Iterator[tuple[object, object]]:
    """Yields role and content of each turn."""
    if shape in ("messages", "conversations", "conversation"):
        chat = _unpack(row[shape])
        assert isinstance(chat, list)
        for turn in chat:
            if not isinstance(turn, Mapping):
                raise ValueError(f"a turn of `{shape}` is not an object, but {turn!r:.60}")
            yield from _pair(turn) if shape == "conversation" else [_turn(turn)]
    elif shape == "query":
        for pair in _as_list(_unpack(row.get("history"))):
            if not isinstance(pair, list) or len(pair) != 2:
                raise ValueError(f"`history` is not a list of pairs, but contains {pair!r:.60}")
            yield from zip(("user", "assistant"), pair, strict=True)
        yield "user", row["query"]
        if row.get("response") is not None:
            yield "assistant", row["response"]
    else:
        more = row.get("input")
        asked = f"{row['instruction']}\n{more}" if isinstance(more, str) and more else row["instruction"]
        yield "user", asked
        yield "assistant", row["response"] if isinstance(row.get("response"), str) else row["output"]


def _turn(turn: Mapping[str, object]) -> tuple[object, object]:
    return turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))


def _pair(turn: Mapping[str, object]) -> Iterator[tuple[object, object]]:
    for role in ("human", "assistant"):
        if role not in turn:
            raise ValueError(f"an entry of `conversation` has no {role!r}, but {', '.join(map(str, turn))[:100]}")
        yield role, turn[role]


def _read_content(content: object) -> tuple[str, list[ImageValue]]:
    """Returns the text and the images of a turn, whose content is a text or a list of parts."""
    if content is None:  # a turn that only calls tools
        return "", []
    if isinstance(content, str):
        return _clean(content), []
    if not isinstance(content, list):
        raise ValueError(f"the content of a turn is neither a text nor a list of parts, but {content!r:.60}")
    texts: list[str] = []
    images: list[ImageValue] = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping):
            texts += [part["text"]] if isinstance(part.get("text"), str) else []
            images += _images(part.get("image", part.get("image_url")))
    return _clean("\n".join(texts)), images


def _clean(text: str) -> str:
    return _TAG.sub(" ", text).strip() if "<" in text else text.strip()


def _images(value: object) -> Iterator[ImageValue]:
    """Yields the images of a column: a path, bytes, an object with `bytes`, `path` or `url`, or a list of these."""
    for item in _as_list(value):
        found = item
        if isinstance(item, Mapping):
            found = item["bytes"] if item.get("bytes") else item.get("path") or item.get("url")
        if isinstance(found, str | bytes) and found:
            yield found


def _as_list(value: object) -> Iterable[object]:
    return value if isinstance(value, list) else [value] if value is not None else []


def _unpack(value: object) -> object:
    """Returns the list in a JSON text, as tables contain it; other values unchanged."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
