"""A checksum per row, so that a flipped bit is an error instead of another dataset.

SQLite checks the structure of a file, not the values in it. Docs: SQLite, "Checksum VFS Shim", which Python's module
does not have.
"""

from __future__ import annotations

import sqlite3
import zlib

SqlValue = str | bytes | int | float | None
RUN_FACTOR, SEQ_FACTOR = 1009, 9_176_263
"""Outcomes count `run` and `seq` by these factors, so that SQL alone updates their checksums when they change."""


def checksum(*values: SqlValue) -> int:
    """Returns the CRC-32 of values as SQLite stores them."""
    # A call costs about 2 us, of which every answer of a model costs two: so no loop over types, no generator.
    text = "\x1f".join([v if type(v) is str else v.hex() if type(v) is bytes else repr(v) for v in values])
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


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
