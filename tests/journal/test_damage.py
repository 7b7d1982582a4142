"""Journals that are not what they should be give an error that says so."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

import mminf
from mminf import api
from mminf.errors import JournalError


@pytest.fixture
def recipe(write_recipe: Callable[[str], Path], rows: Callable[..., Path]) -> Path:
    rows(*({"id": str(n), "q": f"question {n}"} for n in range(6)))
    return write_recipe(
        """
engines: {s: {backend: scripted, answer: hi}}
source: {jsonl: rows.jsonl}
steps: [generate: {engine: s, prompt: '{{ q }}'}, deduplicate: {reads: q}]
sinks: [{jsonl: o.jsonl}]
"""
    )


DAMAGE = {
    "fields": "UPDATE rows SET fields = '{\"a\": '",
    "no object": "UPDATE rows SET fields = '[1]'",
    "path": "UPDATE rows SET path = 'x/y'",
    "deep": f"UPDATE rows SET fields = '{'[' * 100_000}'",
    "view": (
        "ALTER TABLE rows RENAME TO old; CREATE VIEW rows AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
        " SELECT 0 AS stage, i AS id, i AS root, i AS seq, '' AS path, 1 AS run, 'k' AS key, 'done' AS state,"
        " NULL AS step, NULL AS reason, '{}' AS fields FROM n"
    ),
    "trigger": "CREATE TRIGGER t AFTER INSERT ON meta BEGIN DELETE FROM memo; END",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_shard_is_an_error_and_not_merged_for_ever(damage: str, recipe: Path, tmp_path: Path) -> None:
    for number in range(2):
        api.run(recipe, output=tmp_path / "out", shard=f"{number}/2")
    shard = tmp_path / "out" / "parts" / "00001-of-00002" / "journal.sqlite"
    with sqlite3.connect(shard) as connection:
        connection.executescript(damage)
    with pytest.raises(JournalError, match=r"is damaged|is not a journal of mminf"):
        api.merge(api.prepare(mminf.load(recipe), output=tmp_path / "out"))


@pytest.mark.parametrize("phase", ["x", "{}", "[1]", '{"stage": 0}', "[" * 100_000])
def test_a_damaged_phase_is_an_error(phase: str, recipe: Path, tmp_path: Path) -> None:
    for number in range(2):
        api.run(recipe, output=tmp_path / "out", shard=f"{number}/2")
    with sqlite3.connect(tmp_path / "out" / "parts" / "00000-of-00002" / "journal.sqlite") as connection:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'phase'", (phase,))
    with pytest.raises(JournalError):
        api.merge(api.prepare(mminf.load(recipe), output=tmp_path / "out"))
