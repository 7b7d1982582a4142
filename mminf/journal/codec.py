"""How values are written into the journal's columns, and read again."""

from __future__ import annotations

import zlib
from typing import TypeVar

from mminf.journal.checksum import SqlValue
from mminf.record import Record

T = TypeVar("T", str, str | None)
BELOW = "stage = ? AND root = ? AND (path = ? OR substr(path, 1, ?) = ?)"


def below(stage: int, record: Record) -> tuple[SqlValue, ...]:
    """Arguments of `BELOW`, which selects the rows of a record and all below it."""
    return below_path(stage, record.origin, path_text(record.path))


def below_path(stage: int, root: str, path: str) -> tuple[SqlValue, ...]:
    """The same for a path as text."""
    prefix = f"{path}/" if path else ""
    return (stage, root, path, len(prefix), prefix)


def path_text(path: tuple[int, ...]) -> str:
    """A path as text that sorts as its numbers do."""
    return "/".join(f"{number:06d}" for number in path)


def path_numbers(text: str) -> tuple[int, ...]:
    """The path that `path_text` wrote."""
    return tuple(int(part) for part in text.split("/") if part)


def clean(text: T) -> T:
    """Replaces lone surrogates, which SQLite can't store; models and file names do produce them."""
    if text is None or text.isascii():
        return text
    return text.encode("utf-8", "replace").decode("utf-8")


def deflate(text: bytes, dictionary: bytes) -> bytes:
    """Packs a text; against a dictionary that is much like it, it takes some tens of bytes."""
    packer = zlib.compressobj(level=1, wbits=-15, zdict=dictionary[-32768:])
    return packer.compress(text) + packer.flush()


def inflate(data: bytes, dictionary: bytes) -> str:
    """Unpacks what `deflate` packed with the same dictionary."""
    return zlib.decompressobj(wbits=-15, zdict=dictionary[-32768:]).decompress(data).decode("utf-8", "replace")
