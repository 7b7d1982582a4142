"""A column that a later version adds: older journals stay readable, whole, mergeable and repairable."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from mminf.errors import JournalError
from mminf.journal import database, schema
from mminf.journal.checksum import checksum, outcome_checksum
from mminf.journal.connection import create_tables
from mminf.journal.database import inserting, open_database
from mminf.journal.repair import is_sound, repair_journal

ROWS: dict[str, tuple[object, ...]] = {
    "memo": (b"k", "step", "r", 0, 0, "text", "stop", None, None, 3, 4, 0.5, 1, None, None),
    "reasoning": (b"k", "thought"),
    "vectors": (b"k", b"\0\0\0\0"),
    "prompts": (1, "step", b"chat", None, None),
    "rows": (0, "r", "r", 0, "", 1, "k", "done", None, None, "{}"),
    "parked": (0, 0, "", "r", "r", "{}", "{}", "k"),
    "images": ("a.jpg", 3, 4, "d"),
    "touched": (0, "r", "", 0, 1, 1),
    "retries": ("r", "step", 2),
}


ROWS = {table: (*row, *[None] * (len(schema.COLUMNS[table]) - len(row))) for table, row in ROWS.items()}
"""Columns that were added in fact are NULL."""


def fill(path: Path, rows: dict[str, tuple[object, ...]]) -> None:
    """Writes one row per table with this version."""
    create_tables(path)
    with sqlite3.connect(path) as connection:
        for table, row in rows.items():
            statement = inserting(table, row)
            assert callable(statement.arguments)
            connection.execute(statement.sql, statement.arguments())


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A journal without the column."""
    path = tmp_path / schema.FILE
    fill(path, ROWS)
    return path


@pytest.fixture
def added(old: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Adds a column to every table but `meta`, whose rows are keys and values, after `old` was written."""
    for table in ROWS:
        names = schema.COLUMNS[table]
        monkeypatch.setitem(schema.ADDED, table, {**schema.ADDED.get(table, {}), "late": "TEXT"})
        monkeypatch.setitem(schema.COLUMNS, table, (*names, "late"))
    schema.insert.cache_clear()
    monkeypatch.setattr(database, "ADDED", schema.ADDED)
    yield
    schema.insert.cache_clear()


@pytest.mark.usefixtures("added")
@pytest.mark.parametrize("upgraded", [False, True])
def test_old_rows_are_read_with_null_and_stay_valid(old: Path, upgraded: bool) -> None:
    if upgraded:
        create_tables(old)
    found = open_database(old)
    for table, row in ROWS.items():
        assert found.find(table, "") == (*row, None)
        found.check_rows(table)
    found.close()
    assert is_sound(old)


@pytest.mark.usefixtures("added")
def test_new_values_are_part_of_the_checksum(old: Path) -> None:
    fill(old, {table: (*row, "new") for table, row in ROWS.items()})
    assert is_sound(old)
    with sqlite3.connect(old) as connection:
        connection.execute("UPDATE memo SET late = 'other'")
        connection.execute("UPDATE rows SET late = NULL")
    found = open_database(old)
    for table in ("memo", "rows"):
        with pytest.raises(JournalError, match="checksum"):
            found.find(table, "")
        with pytest.raises(JournalError, match="checksum"):
            found.check_rows(table)
    found.close()


@pytest.mark.usefixtures("added")
def test_an_upgrade_does_not_bless_damage(old: Path) -> None:
    """Before, an upgrade computed all checksums anew, and a flipped bit became valid."""
    with sqlite3.connect(old) as connection:
        connection.execute("UPDATE rows SET fields = '{\"x\": 1}'")
    create_tables(old)
    assert not is_sound(old)


@pytest.mark.usefixtures("added")
def test_an_older_journal_is_repaired(old: Path, tmp_path: Path) -> None:
    with sqlite3.connect(old) as connection:
        connection.execute("UPDATE images SET digest = 'x'")
    assert not is_sound(old)
    repair_journal(tmp_path)
    assert is_sound(old)
    with sqlite3.connect(old) as connection:
        assert connection.execute("SELECT text, late FROM memo").fetchall() == [("text", None)]


def test_a_statement_may_contain_semicolons() -> None:
    from mminf.journal.connection import split_statements

    script = "-- a; comment;\nCREATE TABLE a (x TEXT DEFAULT ';\n');\nCREATE INDEX b ON a (x); -- end;\n"
    assert len(split_statements(script)) == 2
    assert all(part.endswith(";") for part in split_statements(schema.TABLES))
    assert checksum("a") != outcome_checksum(1, 1, "a")
