"""The file with marks, as a file, as fields of a source, and as columns of a dataset."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mminf
from mminf import api
from mminf.cli.main import app
from mminf.errors import RecipeError, UsageError
from mminf.marks import Mark, MarkColumns, MarkFile, read_marks
from mminf.record import Record
from mminf.shard import Shard

from ..conftest import read_rows
from .conftest import Make, items


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


# The file


def test_the_last_mark_of_a_record_counts(tmp_path: Path) -> None:
    file = MarkFile(tmp_path / "marks.jsonl")
    assert file.read() == ({}, [])
    file.change("a", mark="good", note="")
    file.change("b", mark="bad", note="a\nnote „ü“ \u202e")
    file.change("a", mark="bad", note="no")
    file.change("c", mark="good", note="")
    file.change("c", mark=None, note="")
    file.change("d", mark=None, note="only a note")
    found, problems = file.read()
    assert {record: mark[:2] for record, mark in found.items()} == {
        "b": ("bad", "a\nnote „ü“ \u202e"), "a": ("bad", "no"), "d": (None, "only a note"),
    }  # fmt: skip
    assert problems == [] and len((tmp_path / "marks.jsonl").read_text().splitlines()) == 6
    assert all(mark.time.endswith("+00:00") for mark in found.values())


@pytest.mark.parametrize(("mark", "note"), [("fine", ""), ("", ""), ("good", "x" * 10_001)])
def test_other_marks_are_refused(tmp_path: Path, mark: str, note: str) -> None:
    with pytest.raises(ValueError):
        MarkFile(tmp_path / "marks.jsonl").change("a", mark=mark, note=note)
    assert not (tmp_path / "marks.jsonl").exists()


def _add_many(path: Path, name: str) -> None:
    for number in range(40):
        MarkFile(path).change(f"{name}{number}", mark="good", note="x" * 500)


def test_several_processes_can_add_marks(tmp_path: Path) -> None:
    path = tmp_path / "marks.jsonl"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_add_many, args=(path, name)) for name in "abc"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(read_marks(path)) == 120


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no json", "not JSON"), ("[1]", "not a JSON object"), ({"mark": "good"}, "`id` must be"),
        ({"id": 3, "mark": "good"}, "`id` must be"), ({"id": "a", "mark": "fine"}, "`mark` must be good, bad or null, not 'fine'"),
        ({"id": "a", "note": 3}, "`note` must be a text"), ("[" * 100_000, "not JSON"),
    ],
)  # fmt: skip
def test_a_broken_line_is_named(tmp_path: Path, line: object, message: str) -> None:
    path = write(tmp_path / "marks.jsonl", {"id": "a", "mark": "good"}, line, "", {"id": "b", "mark": "bad"})
    with pytest.raises(UsageError, match=f"marks.jsonl:2: not a mark: .*{message}"):
        read_marks(path)
    found, problems = MarkFile(path).read()
    assert set(found) == {"a", "b"} and len(problems) == 1 and "marks.jsonl:2" in problems[0]


def test_a_last_line_without_an_end_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "marks.jsonl"
    path.write_text('{"id": "a", "mark": "good"}')
    MarkFile(path).change("b", mark="bad", note="")
    assert {record: mark.mark for record, mark in read_marks(path).items()} == {"a": "good", "b": "bad"}


def test_a_mark_that_can_not_be_written_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = MarkFile(write(tmp_path / "marks.jsonl", {"id": "a", "mark": "good"}))
    before = file.path.read_bytes()
    real, calls = os.write, []

    def full(target: int, data: bytes) -> int:
        calls.append(data)
        if len(calls) == 1:
            return real(target, data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        file.change("b", mark="bad", note="")
    assert file.path.read_bytes() == before


def test_marks_are_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("text")
    (tmp_path / "marks.jsonl").symlink_to(tmp_path / "other")
    with pytest.raises(OSError):
        MarkFile(tmp_path / "marks.jsonl").change("a", mark="good", note="")
    assert (tmp_path / "other").read_text() == "text"


def test_a_change_of_the_file_is_seen(tmp_path: Path) -> None:
    one, two = MarkFile(tmp_path / "marks.jsonl"), MarkFile(tmp_path / "marks.jsonl")
    one.change("a", mark="good", note="")
    assert set(two.read()[0]) == {"a"}
    one.change("b", mark="good", note="")
    assert set(two.read()[0]) == {"a", "b"}
    one.path.unlink()
    assert two.read()[0] == {}


# As fields of a source

MARKED = """
name: marked
engines: {{e: {{backend: scripted, script: {script}}}}}
source: {{jsonl: {{path: rows.jsonl, marks: marks.jsonl}}}}
steps:
  - keep: mark == "good"
  - generate: {{engine: e, prompt: "Ask {{{{ text }}}}", writes: instruction}}
sinks:
  - jsonl: out.jsonl
"""


@pytest.fixture
def marked(make_run: Make, tmp_path: Path) -> Callable[..., Path]:
    """A function that writes marks, and runs a recipe that keeps the good records."""

    def made(*lines: object, **options: object) -> Path:
        write(tmp_path / "marks.jsonl", *lines)
        return make_run(*items(6), name="marked", recipe=MARKED, **options)

    return made


def test_the_next_run_can_use_marks(marked: Callable[..., Path]) -> None:
    out = marked(
        {"id": "r001", "mark": "good", "note": "fine"}, {"id": "r002", "mark": "bad"}, {"id": "r004", "mark": "good"}
    )
    rows = read_rows(out / "out.jsonl")
    assert [(row["id"], row["mark"], row["note"]) for row in rows] == [("r001", "good", "fine"), ("r004", "good", None)]
    dropped = api.show(out, "r000")["outcomes"][0]["fields"]
    assert dropped["mark"] is None and dropped["note"] is None


def test_only_records_whose_marks_have_changed_are_computed_again(
    marked: Callable[..., Path], tmp_path: Path, calls_log: Path
) -> None:
    good = [{"id": f"r00{n}", "mark": "good"} for n in range(3)]
    marked(*good)
    calls_log.write_text("")
    write(tmp_path / "marks.jsonl", *good, {"id": "r004", "mark": "good"}, {"id": "r000", "mark": "bad"})
    mminf.run(tmp_path / "marked.yaml", output=tmp_path / "marked")
    assert [row["id"] for row in read_rows(tmp_path / "marked" / "out.jsonl")] == ["r001", "r002", "r004"]
    assert calls_log.read_text().splitlines() == ["Ask xxxx thing 4"]


def test_the_marks_are_part_of_the_identity_of_a_run(marked: Callable[..., Path], tmp_path: Path) -> None:
    def digest_with(*lines: object) -> str:
        write(tmp_path / "marks.jsonl", *lines)
        return api.prepare(api.load(tmp_path / "marked.yaml"), output=tmp_path / "x").plan.digest

    marked({"id": "r001", "mark": "good"})
    first = digest_with({"id": "r001", "mark": "good"})
    assert digest_with({"id": "r001", "mark": "good", "time": "later"}) == first
    assert digest_with({"id": "r001", "mark": "bad"}, {"id": "r001", "mark": "good"}) == first
    others = [
        digest_with({"id": "r001", "mark": "bad"}), digest_with({"id": "r001", "mark": "good", "note": "x"}),
        digest_with({"id": "r002", "mark": "good"}), digest_with(),
    ]  # fmt: skip
    assert len({first, *others}) == 5


def test_marks_of_unknown_ids_are_counted(marked: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    marks = [{"id": name, "mark": "good"} for name in ("r001", "gone", "other")]
    marked(*marks)
    assert "2 of 3 marks in marks.jsonl are of ids that the input does not contain, such as 'gone'" in caplog.text
    caplog.clear()
    marked(*marks, limit=2)
    assert "are of ids" not in caplog.text, "the rest of the input is not read"


def test_shards_count_their_own_unknown_ids(
    marked: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    marked({"id": "gone", "mark": "good"}, {"id": "r001", "mark": "good"})
    caplog.clear()
    for number in range(2):
        api.run(tmp_path / "marked.yaml", output=tmp_path / "cut", shard=f"{number}/2")
    owner = 0 if Shard(0, 2).owns("gone") else 1
    warned = [record.getMessage() for record in caplog.records if "are of ids" in record.getMessage()]
    own = 1 + Shard(owner, 2).owns("r001")
    assert warned == [f"1 of {own} marks in marks.jsonl are of ids that the input does not contain, such as 'gone'"]
    result = api.merge(api.prepare(api.load(tmp_path / "marked.yaml"), output=tmp_path / "cut"))
    assert result.counts.done == 1


def test_a_broken_file_with_marks_stops_the_run_before_any_call(marked: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"marks.jsonl:2: not a mark: not JSON.*correct or remove this line"):
        marked({"id": "r001", "mark": "good"}, "no json")
    (tmp_path / "marks.jsonl").unlink()
    with pytest.raises(UsageError, match="marks.jsonl does not exist"):
        mminf.run(tmp_path / "marked.yaml", output=tmp_path / "marked")
    assert not (tmp_path / "marked" / "journal.sqlite").exists()


def test_marks_replace_columns_with_a_warning(make_run: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "marks.jsonl", {"id": "r001", "mark": "good"})
    out = make_run(*items(3, note="own"), name="marked", recipe=MARKED)
    assert [row["note"] for row in read_rows(out / "out.jsonl")] == [None]
    assert caplog.text.count("replace the column note of the rows") == 1


def test_recipes_know_the_fields(tmp_path: Path, write_recipe: Callable[..., Path]) -> None:
    text = "source: {blank: {count: 2, MARKS}}\nsteps: [{keep: mark == 'good'}]\nsinks: [{jsonl: {path: o.jsonl, columns: [note]}}]\n"
    write(tmp_path / "marks.jsonl")
    api.check(api.load(write_recipe(text.replace("MARKS", "marks: marks.jsonl"))))
    with pytest.raises(RecipeError, match="mark"):
        api.check(api.load(write_recipe(text.replace("MARKS", "id: id"))))


def test_the_name_is_reserved(write_recipe: Callable[..., Path]) -> None:
    with pytest.raises(RecipeError, match="'marks.jsonl' is reserved for the run"):
        api.load(write_recipe("source: {blank: 1}\nsteps: []\nsinks: [{jsonl: marks.jsonl}]\n"))


# As columns


def test_export_writes_marks_as_columns(make_run: Make, tmp_path: Path) -> None:
    out = make_run(*items(5))
    done = [str(row["id"]) for row in read_rows(out / "out.jsonl")]
    MarkFile(out / "marks.jsonl").change(done[0], mark="good", note="clear")
    command = ["export", str(tmp_path / "one.yaml"), "-o", str(out), "--to", str(tmp_path / "to")]
    result = CliRunner().invoke(app, [*command, "--marks", str(out / "marks.jsonl")])
    assert result.exit_code == 0, result.output
    rows = read_rows(tmp_path / "to" / "out.jsonl")
    assert [(row["id"], row["mark"], row["note"]) for row in rows] == [
        (done[0], "good", "clear"), *((name, None, None) for name in done[1:]),
    ]  # fmt: skip
    only = ["--marks", str(out / "marks.jsonl"), "--set", 'sinks=[{jsonl: {path: good.jsonl, where: mark == "good"}}]']
    assert CliRunner().invoke(app, [*command, *only]).exit_code == 0
    assert [row["id"] for row in read_rows(tmp_path / "to" / "good.jsonl")] == done[:1]
    plain = tmp_path / "plain"
    api.export(api.load(tmp_path / "one.yaml"), out, to=plain)
    assert "mark" not in read_rows(plain / "out.jsonl")[0]


def test_marks_are_printed(tmp_path: Path) -> None:
    write(
        tmp_path / "marks.jsonl",
        {"id": "a,b", "mark": "good", "note": "one\ntwo", "time": "t"},
        {"id": "b", "mark": None, "note": "\x1b[2J"},
    )
    found = CliRunner().invoke(app, ["marks", str(tmp_path), "--csv"]).output
    assert found == 'id,mark,note,time\n"a,b",good,"one\ntwo",t\nb,,\x1b[2J,\n'
    rows = [
        json.loads(line) for line in CliRunner().invoke(app, ["marks", str(tmp_path), "--json"]).output.splitlines()
    ]
    assert rows[0] == {"id": "a,b", "mark": "good", "note": "one\ntwo", "time": "t"}
    assert CliRunner().invoke(app, ["marks", str(tmp_path)]).output.startswith("good  a,b  one")
    assert "no run in" in str(CliRunner().invoke(app, ["marks", str(tmp_path / "no")]).exception)
    assert "choose one" in str(CliRunner().invoke(app, ["marks", str(tmp_path), "--json", "--csv"]).exception)


def test_a_run_without_marks_is_told(make_run: Make) -> None:
    out = make_run(*items(2))
    assert "has no marks" in CliRunner().invoke(app, ["marks", str(out)]).output
    assert CliRunner().invoke(app, ["marks", str(out), "--json"]).output == ""


def test_what_is_not_changed_stays(tmp_path: Path) -> None:
    """Two people have the same record open: one writes a note, the other one marks it."""
    path = tmp_path / "marks.jsonl"
    one, other = MarkFile(path), MarkFile(path)
    assert other.read()[0] == {}
    one.change("a", note="careful")
    assert other.change("a", mark="good")[:2] == ("good", "careful")
    assert one.change("a", mark=None)[:2] == (None, "careful")
    other.change("a", note="")
    assert read_marks(path) == {}


def test_columns_of_children_and_of_records_with_own_fields(caplog: pytest.LogCaptureFixture) -> None:
    marks = {"a": Mark("good", "fine"), "b/0": Mark("bad"), "gone": Mark("good")}
    columns = MarkColumns(marks)
    parents = {name: Record(name, {"note": "OWN", "mark": "A+"} if name in "cb" else {}) for name in "abc"}
    found = {
        record.id: (record["mark"], record["note"])
        for record in (columns.add_to(parent.child(n, {})) for parent in parents.values() for n in range(2))
    }
    assert found == {
        "a/0": ("good", "fine"), "a/1": ("good", "fine"), "b/0": ("bad", None), "b/1": ("A+", "OWN"),
        "c/0": ("A+", "OWN"), "c/1": ("A+", "OWN"),
    }  # fmt: skip
    columns.warn()
    assert "1 of 3 marks are of ids that no dataset contains, such as 'gone'" in caplog.text
    assert "the marks replace the fields mark and note of records, such as 'b/0'" in caplog.text
