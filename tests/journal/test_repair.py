"""Repairs of journals: what depends on a damaged row is not saved as if it were whole."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

import mminf
from mminf import api
from mminf.errors import RecordError
from mminf.journal import Journal
from mminf.journal.database import inserting
from mminf.journal.schema import COLUMNS

from ..conftest import read_rows

SCRIPT = """
def answer(request):
    with open({log!r}, "a") as file:
        file.write("call\\n")
    text = request.turns[0].text
    return f"<think>thought {text}</think>said {text}"
"""
RECIPE = """
engines: {{s: {{backend: scripted, script: {script}}}}}
source: {{jsonl: rows.jsonl}}
steps: [generate: {{engine: s, prompt: "{{{{ q }}}}", writes: said, reasoning: thought}}]
sinks: [{{jsonl: o.jsonl}}]
"""


@pytest.fixture
def recipe(write_recipe: Callable[[str], Path], rows: Callable[..., Path], tmp_path: Path) -> Path:
    rows(*({"id": f"r{number}", "q": f"q{number}"} for number in range(5)))
    (tmp_path / "s.py").write_text(SCRIPT.replace("{log!r}", repr(str(tmp_path / "log"))))
    return write_recipe(RECIPE.format(script=tmp_path / "s.py"))


def edit(output: Path, sql: str) -> None:
    with contextlib.closing(sqlite3.connect(output / "journal.sqlite", isolation_level=None)) as journal:
        journal.execute(sql)


def test_an_answer_whose_reasoning_is_lost_is_asked_for_again(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    mminf.run(recipe, output=out)
    before = read_rows(out / "o.jsonl")
    assert before[2]["thought"] == "thought q2"
    edit(out, "UPDATE reasoning SET text = 'another' WHERE text = 'thought q2'")
    edit(out, "UPDATE rows SET checksum = checksum + 1 WHERE id = 'r0'")
    found = api.repair(out)
    assert (found.outcomes, found.saved["memo"]) == (False, 4)
    (tmp_path / "log").write_text("")
    mminf.run(recipe, output=out)
    assert read_rows(out / "o.jsonl") == before
    assert (tmp_path / "log").read_text() == "call\n", "the other answers were saved"


def test_without_the_first_prompt_of_a_step_its_answers_are_shown_without_prompts(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    mminf.run(recipe, output=out)
    edit(out, "UPDATE prompts SET checksum = checksum + 1")
    assert api.repair(out).saved["memo"] == 5
    assert api.show(out, "r1")["calls"][0]["text"] == "said q1"
    assert mminf.run(recipe, output=out).counts.done == 5


def test_vectors_that_are_lost_are_computed_again(recipe: Path, tmp_path: Path) -> None:
    """Fields of outcomes refer to vectors, so these outcomes are not saved, nor are the answers."""
    out = tmp_path / "out"
    mminf.run(recipe, output=out)
    with Journal(out, write=True) as journal:
        journal.database.insert("vectors", b"lost", b"\0\0\0\0")
        journal.database.insert("vectors", b"kept", b"\0\0\0\0")
        for key in (b"lost", b"kept"):
            row = (key, "embed", "r", 0, 0, "", "stop", None, None, 1, 0, 0.1, 1, None, None)
            journal.database.insert("memo", *row, *[None] * (len(COLUMNS["memo"]) - len(row)))
    edit(out, "UPDATE vectors SET vector = zeroblob(8) WHERE key = x'6c6f7374'")
    found = api.repair(out)
    assert (found.outcomes, found.saved["vectors"], found.saved["memo"]) == (False, 1, 6)


def test_statements_that_belong_together_are_refused_together(recipe: Path, tmp_path: Path) -> None:
    import asyncio

    out = tmp_path / "out"
    mminf.run(recipe, output=out)

    async def write(journal: Journal) -> None:
        rows = [inserting("retries", ("r", "s", 1)), inserting("retries", ("r", "t", 2**70))]
        with pytest.raises(RecordError, match="can't store a value"):
            await journal.database.commit(rows)
        await journal.database.commit([inserting("retries", ("r", "u", 1))])

    with Journal(out, write=True) as journal:
        asyncio.run(write(journal))
        assert journal.database.all("SELECT step FROM retries") == [("u",)]
