"""Encodes and decodes the values of the journal's columns."""

from __future__ import annotations

import zlib
from typing import TypeVar

from mminf.journal.checksum import SqlValue
from mminf.record import Record

T = TypeVar("T", str, str | None)
_LOOKAHEAD = 262
"""Bytes of a window that zlib does not search (its `MIN_LOOKAHEAD`)."""
BELOW = "stage = ? AND root = ? AND (path = ? OR substr(path, 1, ?) = ?)"


def below(stage: int, record: Record) -> tuple[SqlValue, ...]:
    """Returns the arguments of `BELOW`, which selects the rows of a record and of all its descendants."""
    return below_path(stage, record.origin, path_text(record.path))


def below_path(stage: int, root: str, path: str) -> tuple[SqlValue, ...]:
    """Returns the arguments of `BELOW` for a path as text."""
    prefix = f"{path}/" if path else ""
    return (stage, root, path, len(prefix), prefix)


def path_text(path: tuple[int, ...]) -> str:
    """Returns a path as text that sorts like its numbers."""
    return "/".join(f"{number:06d}" for number in path)


def path_numbers(text: str) -> tuple[int, ...]:
    """Returns the path that `path_text` wrote."""
    return tuple(int(part) for part in text.split("/") if part)


def clean(text: T) -> T:
    """Replaces lone surrogates, which SQLite can't store; model answers and file names can contain them."""
    if text is None or text.isascii():
        return text
    return text.encode("utf-8", "replace").decode("utf-8")


def deflate(text: bytes, dictionary: bytes) -> bytes:
    """Compresses a text; with a similar text as the dictionary, the result has only tens of bytes."""
    # zlib clears its tables for every text: with the default sizes this takes ten times as long as compressing it.
    size = len(text) + len(dictionary) + _LOOKAHEAD
    wbits = min(15, max(9, size.bit_length()))
    packer = zlib.compressobj(level=1, wbits=-wbits, memLevel=6 if wbits < 14 else 8, zdict=dictionary[-32768:])
    return packer.compress(text) + packer.flush()


def inflate(data: bytes, dictionary: bytes) -> str:
    """Decompresses a text that `deflate` compressed with the same dictionary."""
    return zlib.decompressobj(wbits=-15, zdict=dictionary[-32768:]).decompress(data).decode("utf-8", "replace")
