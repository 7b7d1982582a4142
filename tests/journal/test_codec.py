"""Chats are stored in tens of bytes, whatever their size."""

from __future__ import annotations

import random
import zlib

import pytest

from mminf.journal.codec import deflate, inflate

SIZES = (0, 1, 3, 40, 200, 260, 520, 4000, 8000, 16_000, 17_000, 40_000, 100_000)


def words(size: int, seed: int) -> bytes:
    """A text of about this many bytes."""
    draw = random.Random(seed)
    return " ".join(f"word{draw.randrange(3000)}" for _ in range(size // 8)).encode()[:size]


def deflate_as_before(text: bytes, dictionary: bytes) -> bytes:
    """With the largest window, as journals of earlier versions have it."""
    packer = zlib.compressobj(level=1, wbits=-15, zdict=dictionary[-32768:])
    return packer.compress(text) + packer.flush()


@pytest.mark.parametrize("dictionary", SIZES)
@pytest.mark.parametrize("text", SIZES)
def test_a_chat_comes_back_and_takes_no_more_space(text: int, dictionary: int) -> None:
    first = words(dictionary, 1)
    for chat in (words(text, 2), first[:text] + b" and another end", words(text, 2) + first[-text:]):
        packed, before = deflate(chat, first), deflate_as_before(chat, first)
        assert inflate(packed, first).encode() == inflate(before, first).encode() == chat
        assert len(packed) <= 1.1 * len(before) + 16
