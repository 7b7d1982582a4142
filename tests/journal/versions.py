"""Turns journals into those of earlier versions of mminf."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from mminf.journal.schema import ADDED, COLUMNS


def make_version_2(output: Path) -> None:
    """Makes the journal of an output one of version 2: rows have no checksum, and none of the columns added later."""
    with sqlite3.connect(output / "journal.sqlite") as connection:
        for table in COLUMNS:
            for name in ADDED.get(table, ()):
                connection.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
            connection.execute(f"ALTER TABLE {table} DROP COLUMN checksum")
        connection.execute("UPDATE meta SET value = '2' WHERE key = 'version'")
