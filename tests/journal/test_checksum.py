"""Checksums of rows."""

from __future__ import annotations

import sqlite3
from enum import StrEnum

from hypothesis import given
from hypothesis import strategies as st

from mminf.journal.checksum import SqlValue, add_functions, checksum

from ..fuzz import fuzz


class State(StrEnum):
    DONE = "done"


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.one_of(
    st.none(),
    TEXT,
    st.binary(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),  # SQLite stores it as NULL; no column contains one
    st.just(State.DONE),
)


@fuzz(300)
@given(st.lists(VALUES, min_size=1, max_size=8))
def test_a_checksum_is_that_of_the_values_as_sqlite_stores_them(values: list[SqlValue]) -> None:
    """It is computed before the values are stored, and verified after they are read."""
    connection = sqlite3.connect(":memory:")
    add_functions(connection)
    marks = ", ".join("?" * len(values))
    stored = connection.execute(f"SELECT {marks}", values).fetchone()
    assert checksum(*values) == checksum(*stored)
    assert checksum(*values) == connection.execute(f"SELECT checksum({marks})", values).fetchone()[0]
    connection.close()
