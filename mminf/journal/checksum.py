"""A checksum per row, so that a flipped bit is an error instead of another dataset.

SQLite checks the structure of a file, not the values in it. Docs: SQLite, "Checksum VFS Shim", which Python's module
does not have.
"""

from __future__ import annotations

import sqlite3
import struct
import zlib
from collections.abc import Iterable

SqlValue = str | bytes | int | float | None
RUN_FACTOR, SEQ_FACTOR = 1009, 9_176_263
"""Outcomes count `run` and `seq` by these factors, so that SQL alone updates their checksums when they change."""


def checksum(*values: SqlValue) -> int:
    """Returns the CRC-32 of values as SQLite stores them."""
    return zlib.crc32(b"".join(_encode(values)))


def _encode(values: Iterable[SqlValue]) -> Iterable[bytes]:
    for value in values:
        if value is None:
            yield b"n"
        elif isinstance(value, str):
            data = value.encode("utf-8", "surrogatepass")
            yield b"s%d:" % len(data)
            yield data
        elif isinstance(value, bytes):
            yield b"b%d:" % len(value)
            yield value
        elif isinstance(value, float) and not value.is_integer():
            yield b"f" + struct.pack("<d", value)
        else:
            yield b"i%d:" % value  # SQLite turns a REAL column's integers into floats


def outcome_checksum(run: int, seq: int, *values: SqlValue) -> int:
    """Returns the checksum of a row of `rows`.

    Args:
        values: the other columns, in the table's order.
    """
    return checksum(*values) + RUN_FACTOR * run + SEQ_FACTOR * seq


def add_functions(connection: sqlite3.Connection) -> None:
    """Gives a connection the SQL functions `checksum` and `outcome_checksum`."""
    connection.create_function("checksum", -1, checksum, deterministic=True)
    connection.create_function("outcome_checksum", -1, outcome_checksum, deterministic=True)
