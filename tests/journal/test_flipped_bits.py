"""A flipped bit in a journal is an error that names `mminf repair`, or changes nothing."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mminf
from mminf import api
from mminf.cli.main import app
from mminf.errors import JournalError
from mminf.journal.repair import is_sound

from ..fuzz import TIMES


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Returns the recipe and the output of a finished run with all kinds of outcomes."""
    folder = tmp_path_factory.mktemp("run")
    rows = [f'{{"id": "{n}", "q": "question {n % 70}", "parts": ["a{n}", "b"]}}\n' for n in range(80)]
    (folder / "rows.jsonl").write_text("".join(rows))
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        """
name: flips
engines: {s: {backend: scripted, answer: "<think>let me see</think>{{ANSWER}}"}}
source: {jsonl: rows.jsonl}
steps:
  - generate: {engine: s, prompt: '{{ q }}', reasoning: thought}
  - split: {reads: parts, writes: part}
  - keep: part != 'a7'
  - deduplicate: {reads: q}
  - generate: {name: again, engine: s, prompt: '{{ part }} of {{ q }}', writes: more}
sinks: [{jsonl: {path: o.jsonl, columns: [q, part, response, more]}}]
""".replace("{{ANSWER}}", "a long answer that says what there is to say " * 15)
    )
    assert mminf.run(recipe, output=folder / "out").state == "finished"
    return recipe, folder / "out"


def pages_of(path: Path, name: str) -> list[int]:
    """Returns the numbers, from 0, of the leaf pages of a table or an index."""
    with sqlite3.connect(path) as connection:
        sql = "SELECT pageno - 1 FROM dbstat WHERE name = ? AND pagetype = 'leaf'"
        return [page for (page,) in connection.execute(sql, (name,))]


def flip(path: Path, rng: random.Random, pages: Sequence[int] = ()) -> None:
    """Flips one bit, anywhere or in one of these pages."""
    data = bytearray(path.read_bytes())
    at = rng.choice(pages) * 4096 + rng.randrange(4096) if pages else rng.randrange(len(data))
    data[at] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def test_a_flipped_bit_is_noticed_or_changes_nothing(run: tuple[Path, Path], tmp_path: Path) -> None:
    recipe, whole = run
    loaded = mminf.load(recipe)
    expected = (whole / "o.jsonl").read_bytes()
    noticed = 0
    for seed in range(60 * TIMES):
        output = tmp_path / str(seed)
        output.mkdir()
        shutil.copyfile(whole / "journal.sqlite", output / "journal.sqlite")
        rng = random.Random(seed)
        name = rng.choice(("", "", "rows", "rows", "rows_in_order", "meta", "sqlite_autoindex_rows_1"))
        flip(output / "journal.sqlite", rng, pages_of(whole / "journal.sqlite", name))
        try:
            api.export(loaded, output, to=output / "to", force=True)
        except JournalError as error:
            noticed += 1
            assert "mminf repair" in str(error) or "version" in str(error) or "had other steps" in str(error), error
        else:
            assert (output / "to" / "o.jsonl").read_bytes() == expected, f"seed {seed}"
        looks = (
            api.status,
            lambda out: api.show(out, "3"),
            lambda out: list(api.failures(out)),
            lambda out: list(api.list_records(out)),
            lambda out: list(api.list_records(out, fields=True)),
        )
        for look in looks:
            try:
                look(output)
            except JournalError:
                noticed += 1
        shutil.rmtree(output)
    assert noticed > 20


def test_what_is_repaired_resumes_to_the_same_bytes(run: tuple[Path, Path], tmp_path: Path) -> None:
    recipe, whole = run
    expected = (whole / "o.jsonl").read_bytes()
    repaired = 0
    for seed in range(25 * TIMES):
        output = tmp_path / str(seed)
        output.mkdir()
        shutil.copyfile(whole / "journal.sqlite", output / "journal.sqlite")
        rng = random.Random(seed)
        for _ in range(rng.choice((1, 1, 5, 50))):
            flip(output / "journal.sqlite", rng)
        if not is_sound(output / "journal.sqlite"):
            found = api.repair(output)
            assert found.damaged[0].is_file()
            repaired += 1
            assert is_sound(output / "journal.sqlite")
        result = mminf.run(recipe, output=output, force=True)
        assert result.state == "finished"
        assert (output / "o.jsonl").read_bytes() == expected, f"seed {seed}"
        shutil.rmtree(output)
    assert repaired > 10


def test_a_repair_saves_the_answers_around_damaged_pages(run: tuple[Path, Path], tmp_path: Path) -> None:
    recipe, whole = run
    output = tmp_path / "out"
    output.mkdir()
    shutil.copyfile(whole / "journal.sqlite", output / "journal.sqlite")
    with sqlite3.connect(output / "journal.sqlite") as connection:
        calls = connection.execute("SELECT count(*) FROM memo").fetchone()[0]
    pages = pages_of(output / "journal.sqlite", "memo")
    data = bytearray((output / "journal.sqlite").read_bytes())
    for page in pages[len(pages) // 3 :: len(pages) // 3][:2]:
        data[page * 4096 : (page + 1) * 4096] = b"\xff" * 4096
    (output / "journal.sqlite").write_bytes(data)
    with pytest.raises(JournalError, match="mminf repair"):
        mminf.run(recipe, output=output, settings=["steps.keep.expression=part != 'a8'"])
    found = api.repair(output)
    assert calls * 0.8 < found.saved["memo"] < calls
    assert mminf.run(recipe, output=output).state == "finished"
    assert (output / "o.jsonl").read_bytes() == (whole / "o.jsonl").read_bytes()


def test_a_repair_of_what_is_sound_changes_nothing(run: tuple[Path, Path], tmp_path: Path) -> None:
    output = tmp_path / "out"
    shutil.copytree(run[1], output)
    before = (output / "journal.sqlite").read_bytes()
    assert api.repair(output).damaged == []
    assert (output / "journal.sqlite").read_bytes() == before
    with pytest.raises(JournalError, match="no journal in"):
        api.repair(tmp_path / "nothing")


@pytest.mark.parametrize("column", ["reason", "id", "state", "fields"])
def test_list_tells_a_changed_row_and_lists_the_others(run: tuple[Path, Path], tmp_path: Path, column: str) -> None:
    _, out = run
    shutil.copytree(out, tmp_path / "out")
    whole = [record["id"] for record in api.list_records(out)]
    with sqlite3.connect(tmp_path / "out" / "journal.sqlite") as connection:
        first = "rowid = (SELECT rowid FROM rows WHERE state = 'dropped' LIMIT 1)"
        record, old = connection.execute(f"SELECT id, {column} FROM rows WHERE {first}").fetchone()
        new = "done" if column == "state" else f"{old}x"
        connection.execute(f"UPDATE rows SET {column} = ? WHERE {first}", (new,))
    listing = api.list_records(tmp_path / "out")
    assert [item["id"] for item in listing] == [name for name in whole if name != record]
    assert listing.broken == 1 and "mminf repair" in str(listing.damage)
    dropped = api.list_records(tmp_path / "out", outcomes=["dropped"])
    assert record not in [item["id"] for item in dropped] and dropped.broken == 1
    found = CliRunner().invoke(app, ["list", str(tmp_path / "out")])
    assert "1 row can't be read, and not listed" in found.stderr and found.exit_code == 0
    assert api.list_records(out).damage is None
