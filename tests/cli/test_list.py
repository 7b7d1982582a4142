"""`mminf list`: all records of a run, with conditions, in flat memory."""

from __future__ import annotations

import json
import sqlite3
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import mminf
from mminf import api
from mminf.cli.main import app
from mminf.errors import JournalError, UsageError
from mminf.journal.checksum import add_functions
from mminf.journal.schema import COLUMNS, checksum_sql

from ..journal.versions import make_version_2
from . import in_terminal
from .conftest import FOLDER, RECIPE, make_run


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["list", *arguments])


def rows_of(*arguments: str) -> list[list[str]]:
    found = call(*arguments)
    assert found.exit_code == 0, found.output
    return [line.split("\t") for line in found.stdout.splitlines()]


def test_all_records_are_listed_in_source_order(small: Path) -> None:
    found = rows_of(str(small))
    assert [row[0].rpartition("/")[2] for row in found] == [f"{n:05}.jpg" for n in range(40)] + ["rows.jsonl:41"]
    assert Counter(row[1] for row in found) == {"done": 13, "dropped": 24, "failed": 4}
    assert found[0][2:] == ["rich", "n 0 <= 1"]
    assert found[2][1:] == ["done", "", ""]
    assert found[3][1:] == ["dropped", "deduplicate", f"duplicate of {FOLDER}/part-0/00002.jpg"]
    assert found[40][1:] == ["failed", "source", "rows.jsonl:41 is not a JSON object, but list"]


@pytest.mark.parametrize(
    ("options", "number"),
    [
        (["--done"], 13),
        (["--dropped"], 24),
        (["--failed"], 4),
        (["--done", "--failed"], 17),
        (["--step", "rich"], 19),
        (["--failed", "--step", "rich"], 0),
        (["--step", "source"], 1),
        (["--reason", "n 0 <= 1"], 8),
        (["--reason", "n <= 1"], 16),
        (["--reason", "DUPLICATE OF"], 5),
        (["--reason", "is refused"], 3),
        (["--where", "n == 4"], 8),
        (["--where", "n == 4 and kind != 'caption'", "--done"], 4),
        (["--limit", "7"], 7),
        (["--limit", "0"], 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_conditions(small: Path, options: list[str], number: int) -> None:
    assert len(rows_of(str(small), *options)) == number


def test_reasons_of_status_select_their_records(small: Path) -> None:
    for reason in api.status(small)["reasons"]:
        options = [f"--{reason['state']}", "--step", reason["step"], "--reason", reason["reason"]]
        assert len(rows_of(str(small), *options)) == reason["rows"], reason


def test_json_has_the_fields(small: Path) -> None:
    lines = call(str(small), "--json", "--dropped", "--limit", "1").stdout.splitlines()
    (first,) = map(json.loads, lines)
    assert (first["state"], first["step"], first["reason"], first["stage"]) == ("dropped", "rich", "n 0 <= 1", 0)
    assert (first["fields"]["n"], first["fields"]["kind"]) == (0, "caption")


def test_records_whose_expression_fails_are_counted(small: Path) -> None:
    found = call(str(small), "--where", "answer | length > 3")
    assert len(found.stdout.splitlines()) == 18
    assert "23 records not listed, because --where can't be evaluated; the first: " in found.stderr
    assert "'answer' is undefined" in found.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--where", "n >"], "'n >' is not an expression over the fields of a record"),
        (["--where", "''.__class__.__mro__"], "can't be evaluated"),
        (["--step", "ric"], "the run has no step 'ric'; did you mean 'rich'?"),
    ],
)
def test_wrong_conditions(small: Path, options: list[str], message: str) -> None:
    shown = in_terminal.lines("list", str(small), *options)
    assert message in " ".join(" ".join(shown).split())


def test_no_run_and_no_records(tmp_path: Path, write_recipe: Callable[[str], Path]) -> None:
    with pytest.raises(JournalError, match="no run in"):
        list(api.list_records(tmp_path / "gone"))
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(JournalError, match="no run in"):
        list(api.list_records(tmp_path / "notes.txt"))
    with pytest.raises(UsageError, match="no outcome 'drop'; did you mean 'dropped'?"):
        api.list_records(tmp_path, outcomes=["drop"])
    with pytest.raises(UsageError, match="is not an expression"):
        api.list_records(tmp_path, where="{{ x }}")
    (tmp_path / "rows.jsonl").write_text("")
    recipe = "name: none\nsource: {jsonl: rows.jsonl}\nsteps: []\nsinks: [jsonl: out.jsonl]\n"
    mminf.run(write_recipe(recipe), output=tmp_path / "out")
    found = call(str(tmp_path / "out"))
    assert (found.exit_code, found.stdout, found.stderr) == (0, "", "the run has no records yet\n")
    assert "no record of the run meets the conditions" in call(str(tmp_path / "out"), "--done").stderr


def test_a_journal_of_an_earlier_version(small: Path) -> None:
    with sqlite3.connect(small / "journal.sqlite") as connection:
        connection.execute("UPDATE rows SET reason = 'not n > 1 (n=0)' WHERE reason = 'n 0 <= 1'")
    make_version_2(small)
    assert len(rows_of(str(small), "--reason", "not n > 1")) == 8
    assert len(rows_of(str(small), "--where", "n == 0")) == 8


def test_one_line_per_record_on_a_terminal(small: Path) -> None:
    shown = in_terminal.lines("list", str(small))
    assert len(shown) == 41
    assert shown[0] == "…/part-0/00000.jpg  dropped  rich              n 0 <= 1"
    assert shown[3] == "…/part-0/00003.jpg  dropped  deduplicate       duplicate of …/part-0/00002.jpg"
    assert shown[7] == "…/part-0/00007.jpg  failed   ask_a_question_…  scripted: the answer to 'Ask …"
    wide = in_terminal.lines("list", str(small), "--limit", "4", width=200)
    assert wide[3].startswith(f"{FOLDER}/part-0/00003.jpg  dropped  deduplicate  duplicate of {FOLDER}/part-0/")


UNFINISHED = RECIPE.replace("max_same_failures: null", "max_same_failures: null\nbudget: {calls: 9}")


def test_an_unfinished_run(tmp_path: Path) -> None:
    output = make_run(tmp_path, UNFINISHED)
    found = call(str(output))
    states = Counter(line.split("\t")[1] for line in found.stdout.splitlines())
    assert states["waiting"] > 0, "they are done, and deduplicate has not compared them yet"
    assert states["done"] == 0
    pending = api.status(output)["pending"]
    assert pending and pending == 41 - sum(states.values())
    assert f"{pending} source records not processed yet, and not listed; `mminf status {output}`" in found.stderr
    assert [row[1] for row in rows_of(str(output), "--failed")] == ["failed"] * states["failed"]


def test_children_are_listed_instead_of_their_parent(
    tmp_path: Path, write_recipe: Callable[[str], Path], rows: Callable[..., Path]
) -> None:
    rows({"id": "a", "items": [1, 2]}, {"id": "b", "items": [3]})
    recipe = "name: r\nsource: {jsonl: rows.jsonl}\nsteps: [{split: {reads: items, writes: item}}, {keep: item != 2}]\n"
    mminf.run(write_recipe(f"{recipe}sinks: [jsonl: o.jsonl]\n"), output=tmp_path / "out")
    found = [(item["id"], item["state"]) for item in api.list_records(tmp_path / "out")]
    assert found == [("a/0", "done"), ("a/1", "dropped"), ("b/0", "done")]


def test_records_beyond_the_target_are_not_listed(
    tmp_path: Path, write_recipe: Callable[[str], Path], rows: Callable[..., Path]
) -> None:
    rows(*({"id": str(number), "n": number} for number in range(50)))
    recipe = "name: r\ntarget: 3\nsource: {jsonl: rows.jsonl}\nsteps: [keep: n != 1]\nsinks: [jsonl: o.jsonl]\n"
    mminf.run(write_recipe(recipe), output=tmp_path / "out")
    assert [item["id"] for item in api.list_records(tmp_path / "out")] == ["0", "1", "2", "3"]


def test_memory_does_not_depend_on_the_number_of_records(small: Path) -> None:
    with sqlite3.connect(small / "journal.sqlite") as connection:
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 60099) "
            "INSERT INTO rows SELECT 0, 'r' || i, 'r' || i, i, '', 1, NULL, 'dropped', 'rich', 'n ' || i || ' > 1', "
            "'{\"n\": 1}', 0 FROM n"
        )
        add_functions(connection)
        sums = checksum_sql("rows", {name: name for name in COLUMNS["rows"]})
        connection.execute(f"UPDATE rows SET checksum = {sums} WHERE seq >= 100")
    list(api.list_records(small, outcomes=["failed"]))
    tracemalloc.start()
    try:
        number = sum(1 for _ in api.list_records(small))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert number == 60_041
    assert peak < 2_000_000, "60,000 records would take more"


def test_the_first_records_come_at_once(small: Path) -> None:
    listing = iter(api.list_records(small))
    assert next(listing)["id"].endswith("00000.jpg")
    listing.close()  # type: ignore[attr-defined]


def test_records_of_shards_that_are_not_merged(
    tmp_path: Path, write_recipe: Callable[[str], Path], rows: Callable[..., Path]
) -> None:
    rows(*({"id": str(number), "n": number} for number in range(12)))
    recipe = write_recipe("name: r\nsource: {jsonl: rows.jsonl}\nsteps: [keep: n % 3 == 0]\nsinks: [jsonl: o.jsonl]\n")
    mminf.run(recipe, output=tmp_path / "out")
    mminf.run(recipe, output=tmp_path / "out", shard="0/2")
    mminf.run(recipe, output=tmp_path / "out", shard="1/2")
    found = {item["id"]: item["reason"] for item in api.list_records(tmp_path / "out", fields=True)}
    assert found == {str(n): None if n % 3 == 0 else f"n % 3 = {n % 3}, not 0" for n in range(12)}
    assert {(item["reason"], item["rows"]) for item in api.status(tmp_path / "out")["reasons"]} == {("n % 3, not 0", 8)}
