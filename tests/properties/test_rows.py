"""Conversations of rows, in all shapes and broken."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.properties import Conversation, read_conversation

ASKED, SAID = "What is it?", "A cat."
CHAT = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": SAID}]
GPT = [{"from": "human", "value": f"<image>\n{ASKED}"}, {"from": "gpt", "value": SAID}]


@pytest.mark.parametrize(
    ("row", "shape"),
    [
        ({"messages": [{"role": "system", "content": "Be brief."}, *CHAT], "images": ["a.png"]}, "messages"),
        ({"messages": json.dumps(CHAT), "image": "a.png"}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "image": "a.png"}, {"type": "text", "text": ASKED}]}, CHAT[1]]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "a.png"}}, ASKED]}, CHAT[1]]}, "messages"),
        ({"conversations": GPT, "image": "a.png", "id": 3}, "conversations"),
        ({"conversations": [{"from": "system", "value": "x"}, *GPT], "images": [{"bytes": None, "path": "a.png"}]}, "conversations"),
        ({"conversation": [{"human": ASKED, "assistant": SAID}], "image": ["a.png"]}, "conversation"),
        ({"query": ASKED, "response": SAID, "images": ["a.png"]}, "query"),
        ({"instruction": ASKED, "output": SAID, "images": ["a.png", None, ""]}, "instruction"),
        ({"instruction": ASKED, "input": "", "response": SAID, "image": "a.png"}, "instruction"),
    ],
)  # fmt: skip
def test_shapes(row: dict[str, Any], shape: str) -> None:
    assert read_conversation(row, "here") == Conversation(shape, (ASKED,), (SAID,), ("a.png",), "here")


@pytest.mark.parametrize(
    ("row", "instructions", "responses"),
    [
        ({"messages": [*CHAT, *CHAT]}, (ASKED, ASKED), (SAID, SAID)),
        ({"messages": CHAT[:1]}, (ASKED,), ()),
        ({"messages": CHAT[1:]}, (), (SAID,)),
        ({"messages": [{"role": "assistant", "content": None}, {"role": "tool", "content": "3"}]}, (), ("",)),
        ({"messages": [{"role": "user", "content": "<image>"}]}, ("",), ()),
        ({"query": ASKED, "history": [["a", "b"]]}, ("a", ASKED), ("b",)),
        ({"instruction": "Translate.", "input": "Hi", "output": "Salut"}, ("Translate.\nHi",), ("Salut",)),
        ({"conversation": [{"human": "a", "assistant": "b"}] * 2}, ("a", "a"), ("b", "b")),
    ],
)
def test_turns(row: dict[str, Any], instructions: tuple[str, ...], responses: tuple[str, ...]) -> None:
    found = read_conversation(row)
    assert (found.instructions, found.responses) == (instructions, responses)


def test_bytes_of_images_are_images() -> None:
    row = {"messages": CHAT, "images": [{"bytes": b"\x89PNG", "path": "a.png"}, b"\xff\xd8"]}
    assert read_conversation(row).images == (b"\x89PNG", b"\xff\xd8")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "hi", "n": 1}, r"has none of `messages` \(ms-swift\), `conversations` .*; its columns are text, n"),
        ({}, "its columns are none"),
        ({"messages": "hi"}, "has none of"),
        ({"messages": "[not JSON"}, "has none of"),
        ({"messages": []}, "`messages` has no turn"),
        ({"messages": [{"role": "system", "content": "x"}]}, "`messages` has no turn of a user or an assistant"),
        ({"messages": ["hi"]}, "a turn of `messages` is not an object, but 'hi'"),
        ({"messages": [{"content": "hi"}]}, "a turn of `messages` has the unknown role None"),
        ({"conversations": [{"from": "narrator", "value": "hi"}]}, "unknown role 'narrator'"),
        ({"messages": [{"role": "user", "content": 3}]}, "neither a text nor a list of parts, but 3"),
        ({"conversation": [{"human": "a"}]}, "an entry of `conversation` has no 'assistant', but human"),
        ({"query": "a", "history": ["b"]}, "`history` is not a list of pairs, but contains 'b'"),
        ({"instruction": "a"}, "has none of"),
        ({"messages": [{"role": ["user"], "content": "hi"}]}, r"unknown role \['user'\]"),
    ],
)
def test_broken_rows(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_conversation(row)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["role", "from", "content", "value", "text", "image", "human", "x"]), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip
COLUMNS = (
    "messages",
    "conversations",
    "conversation",
    "query",
    "history",
    "response",
    "instruction",
    "input",
    "images",
)


@given(st.dictionaries(st.sampled_from(COLUMNS), JSON))
def test_any_row_is_a_conversation_or_broken(row: dict[str, Any]) -> None:
    try:
        found = read_conversation(row)
    except ValueError:
        return
    assert found.instructions or found.responses
    assert all(isinstance(text, str) for text in (*found.instructions, *found.responses, *found.images))
