"""A checksum per row, so that a flipped bit is an error instead of another dataset.

SQLite checks the structure of a file, not the values in it. Docs: SQLite, "Checksum VFS Shim", which Python's module
does not have.
"""

from __future__ import annotations

import sqlite3
import zlib

SqlValue = str | bytes | int | float | None
_PLAIN = frozenset({int, float, type(None)})
RUN_FACTOR, SEQ_FACTOR = 1009, 9_176_263
"""The checksum of an outcome adds `run` and `seq` with these factors, so that SQL alone can update it."""


def checksum(*values: SqlValue) -> int:
    """Returns the CRC-32 of values as SQLite stores them."""
    # Called for every answer of a model and every outcome: so no generator, and no look at the types of plain values.
    text = "\x1f".join(
        [
            v if type(v) is str else v.hex() if type(v) is bytes else repr(v) if type(v) in _PLAIN else _stored(v)
            for v in values
        ]
    )
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


def _stored(value: object) -> str:
    """Returns the text of a value of a derived type, such as a StrEnum or a bool, as SQLite stores it."""
    if isinstance(value, str):
        return str.__str__(value)
    return repr(int(value)) if isinstance(value, int) else repr(value)


def outcome_checksum(run: int, seq: int, *values: SqlValue) -> int:
    """Returns the checksum of a row of `rows`.

    Args:
        values: the other columns, in the table's order.
    """
    return checksum(*values) + RUN_FACTOR * run + SEQ_FACTOR * seq


def added_checksum(name: str, value: SqlValue) -> int:
    """Returns what a column that a later version has added contributes to the checksum of its row; 0 for NULL."""
    return 0 if value is None else checksum(name, value)


def add_functions(connection: sqlite3.Connection) -> None:
    """Registers the SQL functions of this module on a connection."""
    connection.create_function("checksum", -1, checksum, deterministic=True)
    connection.create_function("outcome_checksum", -1, outcome_checksum, deterministic=True)
    connection.create_function("added_checksum", 2, added_checksum, deterministic=True)
