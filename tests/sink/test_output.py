"""The output folder: names that belong to the run, files that are not mminf's, better datasets, full disks."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import mminf
from mminf import api
from mminf.errors import OutputError

from ..conftest import read_rows
from .runs import SCRIPT, Make, run


def test_files_and_folders_that_no_run_has_written_are_not_replaced(make: Make, tmp_path: Path) -> None:
    output = tmp_path / "out"
    run(make(), output)
    (output / "photos").mkdir()
    (output / "photos" / "holiday.jpg").write_text("precious")
    (output / "notes.jsonl").write_text("notes")
    (output / "link.jsonl").symlink_to(output / "notes.jsonl")
    before = sorted(path.name for path in output.rglob("*"))
    for sink, message in (
        ("{jsonl: {path: photos, rows_per_file: 2}}", "no run into .* has written it"),
        ("{jsonl: photos}", "no run into .* has written it"),
        ("{jsonl: notes.jsonl}", "no run into .* has written it"),
        ("{parquet: notes.jsonl}", "no run into .* has written it"),
        ("{jsonl: {path: notes.jsonl, rows_per_file: 2}}", "no run into .* has written it"),
        ("{jsonl: link.jsonl}", "no run into .* has written it"),
        ("{jsonl: notes.jsonl/x}", "notes.jsonl is a file"),
    ):
        with pytest.raises(OutputError, match=message):
            run(make(sink), output)
        with pytest.raises(OutputError, match=message):
            api.export(mminf.load(make(sink)), output)
    assert sorted(path.name for path in output.rglob("*")) == before
    assert (output / "photos" / "holiday.jpg").read_text() == "precious"
    assert (output / "notes.jsonl").read_text() == "notes"
    run(make("{jsonl: notes.jsonl}"), output, force=True)
    assert len(read_rows(output / "notes.jsonl")) == 5


def test_in_a_folder_without_a_run_nothing_is_ours(make: Make, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "o.jsonl").write_text("mine")
    with pytest.raises(OutputError, match="use --force"):
        run(make(), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["o.jsonl"], "no journal either"


def test_a_run_replaces_what_runs_have_written_whatever_its_kind(make: Make, tmp_path: Path) -> None:
    output = tmp_path / "out"
    kinds = (
        "{jsonl: o}",
        "{jsonl: {path: o, rows_per_file: 2}}",
        "{parquet: o}",
        "{webdataset: o}",
        "{swift: {path: o, user: q}}",
    )
    for sink in (*kinds, *reversed(kinds)):
        assert run(make(sink), output).written[0].rows == 5
    assert sorted(path.name for path in output.iterdir()) == ["journal.lock", "journal.sqlite", "o", "run.log"]


def test_what_a_user_has_put_into_a_datasets_folder_stays_there(make: Make, tmp_path: Path) -> None:
    output = tmp_path / "out"
    recipe = make("{jsonl: {path: o, rows_per_file: 2}}")
    run(recipe, output)
    (output / "o" / "README.md").write_text("mine")
    (output / "o" / "sub").mkdir()
    (output / "o" / "sub" / "00000.jsonl").write_text("mine")
    old = output / ".o.old"
    old.mkdir()
    (old / "found.txt").write_text("left by a killed run")
    (old / "00000.jsonl").write_text("ours")
    (old / "manifest.json").write_text('{"rows": 1, "files": [{"name": "00000.jsonl"}]}')
    for name in ("index.jsonl", "00077.parquet", "99999.jsonl", "20240101.jsonl"):
        (output / "o" / name).write_text("mine")
    for _ in range(2):
        run(recipe, output, limit=3)
    names = sorted(str(path.relative_to(output / "o")) for path in (output / "o").rglob("*") if path.is_file())
    ours = ["00000.jsonl", "00001.jsonl", "manifest.json"]
    mine = [
        "00077.parquet",
        "20240101.jsonl",
        "99999.jsonl",
        "README.md",
        "found.txt",
        "index.jsonl",
        "sub/00000.jsonl",
    ]
    assert names == sorted([*ours, *mine])
    assert not old.exists()


def test_another_recipes_run_is_not_replaced(make: Make, tmp_path: Path) -> None:
    run(make(name="one"), tmp_path / "out")
    before = (tmp_path / "out" / "o.jsonl").read_bytes()
    with pytest.raises(OutputError, match="contains a run of recipe 'one', not of 'two'"):
        run(make(name="two"), tmp_path / "out", limit=1)
    assert (tmp_path / "out" / "o.jsonl").read_bytes() == before
    assert api.status(tmp_path / "out")["recipe"] == "one"
    assert api.status(tmp_path / "out")["state"] == "finished"
    assert run(make(name="two"), tmp_path / "out", force=True, limit=1).written[0].rows == 1


LIMITED = """
import resource, sys
from mminf.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (@, @))
sys.argv = ["mminf", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("sink", ["webdataset: o", "parquet: {path: o.parquet, embed_images: true}"])
def test_a_disk_that_is_full_while_datasets_are_written(tmp_path: Path, sink: str) -> None:
    """With a limit for the size of files, which is what a test can have of a full disk."""
    (tmp_path / "images").mkdir()
    for number in range(8):
        Image.frombytes("RGB", (300, 300), os.urandom(270_000)).save(tmp_path / "images" / f"{number}.png")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "name: r\nengines: {s: {backend: scripted, answer: hi}}\nsource: {images: images}\n"
        f"steps: [generate: {{engine: s, prompt: 'x'}}]\nsinks: [{{{sink}}}]\n"
    )
    output = tmp_path / "out"
    command = [sys.executable, "-c", LIMITED.replace("@", "1000000"), "run", str(recipe), "--output", str(output)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    assert f"error: {output / 'o'}" in ran.stderr
    assert "File too large" in ran.stderr
    assert "it writes the datasets and calls no model" in ran.stderr
    assert api.status(output)["state"] == "failed"
    assert not list(output.glob("o*"))
    again = api.run(recipe, output=output)
    assert (again.state, again.written[0].rows, again.calls) == ("finished", 8, 8)


def test_the_state_is_finished_only_when_the_datasets_are_written(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mminf.sink.rows import JsonLinesSink

    seen: list[Any] = []
    write = JsonLinesSink.write

    def look(self: Any, records: Any) -> Any:
        seen.append(api.status(tmp_path / "out")["state"])
        if len(seen) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, records)

    monkeypatch.setattr(JsonLinesSink, "write", look)
    with pytest.raises(OutputError, match=r"o.jsonl can't be written: No space left on device"):
        run(make(), tmp_path / "out")
    assert api.status(tmp_path / "out")["state"] == "failed"
    assert run(make(), tmp_path / "out").state == "finished"
    assert api.status(tmp_path / "out")["state"] == "finished"
    assert seen == ["writing", "writing"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 0
    assert json.loads((tmp_path / "out" / "o.jsonl").read_text().splitlines()[0])["response"] == "hi"


def test_a_file_does_not_replace_a_folder_that_has_other_files(make: Make, tmp_path: Path) -> None:
    output = tmp_path / "out"
    run(make("{jsonl: {path: data, rows_per_file: 2}}"), output)
    (output / "data" / "README.md").write_text("mine")
    before = sorted(path.name for path in (output / "data").iterdir())
    with pytest.raises(OutputError, match=r"files that mminf did not write, such as README.md"):
        run(make("{jsonl: data}"), output)
    assert sorted(path.name for path in (output / "data").iterdir()) == before
    (output / "data" / "README.md").unlink()
    assert run(make("{jsonl: data}"), output).written[0].rows == 5
    assert (output / "data").is_file()


def test_another_runs_dataset_folder_is_not_replaced(make: Make, tmp_path: Path) -> None:
    recipe = make("{jsonl: {path: d, rows_per_file: 2}}")
    run(recipe, tmp_path / "one")
    (tmp_path / "two").mkdir()
    (tmp_path / "one" / "d").rename(tmp_path / "two" / "d")
    with pytest.raises(OutputError, match="no run into .* has written it"):
        run(recipe, tmp_path / "two", limit=2)


@pytest.mark.parametrize("fails", [True, False])
def test_a_dataset_that_a_killed_run_was_about_to_replace(
    make: Make, tmp_path: Path, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, recipe = tmp_path / "out", make("{jsonl: {path: d, rows_per_file: 2}}")
    run(recipe, output)
    (output / "d").rename(output / ".d.old")
    if fails:
        monkeypatch.setenv("BROKEN", "q1 q2 q3")
        (tmp_path / "s.py").write_text(SCRIPT + "# another model\n")
        written = run(recipe, output).written[0]
        assert (written.kept, written.rows) == ("d", 2)
    else:
        assert run(recipe, output).written[0].rows == 5
    assert json.loads((output / "d" / "manifest.json").read_text())["rows"] == 5


def test_exports_into_a_folder_can_be_repeated(make: Make, tmp_path: Path) -> None:
    recipe = make("{jsonl: o.jsonl}, {jsonl: {path: d, rows_per_file: 2}}")
    run(recipe, tmp_path / "out")
    for _ in range(2):
        assert [item.rows for item in api.export(mminf.load(recipe), tmp_path / "out", to=tmp_path / "to")] == [5, 5]
    (tmp_path / "to" / "mine.jsonl").write_text("mine")
    other = mminf.load(recipe, settings=["sinks=[{jsonl: mine.jsonl}]"])
    with pytest.raises(OutputError, match="no run into .* has written it"):
        api.export(other, tmp_path / "out", to=tmp_path / "to")


def test_links_in_the_output_folder(make: Make, tmp_path: Path) -> None:
    output = tmp_path / "out"
    (output / "a").mkdir(parents=True)
    (output / "b").symlink_to(output / "a")
    (output / "away").symlink_to(tmp_path)
    with pytest.raises(OutputError, match="are one file"):
        run(make("{jsonl: a/y.jsonl}, {jsonl: b/y.jsonl}"), output)
    with pytest.raises(OutputError, match="is not below the output folder"):
        run(make("{jsonl: away/y.jsonl}"), output)
    victim = tmp_path / "victim.txt"
    victim.write_text("precious")
    (output / ".o.jsonl.part").symlink_to(victim)
    (output / ".d.part").mkdir()
    (output / ".d.part" / "mine.txt").write_text("mine")
    assert run(make(), output).written[0].rows == 5
    assert victim.read_text() == "precious"
    with pytest.raises(OutputError, match=r"files that mminf did not write, such as mine.txt"):
        run(make("{jsonl: {path: d, rows_per_file: 2}}"), output)
    assert (output / ".d.part" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("moment", ["the old one is away", "the new one is there"])
def test_a_file_that_a_killed_run_was_about_to_replace_by_a_folder(
    make: Make, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a kill between the two renames leaves it."""
    output = tmp_path / "out"
    run(make("{jsonl: d}"), output)
    (output / "d").rename(output / ".d.old")
    if moment == "the new one is there":
        run(make("{jsonl: {path: d, rows_per_file: 2}}"), output)
        assert not (output / ".d.old").exists()
        return
    monkeypatch.setenv("BROKEN", "q1 q2 q3")
    (tmp_path / "s.py").write_text(SCRIPT + "# another model\n")
    written = run(make("{jsonl: {path: d, rows_per_file: 2}}"), output).written[0]
    assert (written.kept, written.before) == ("d", 5)
    assert len(read_rows(output / "d")) == 5


def test_constants_are_columns_of_every_row(make: Make, tmp_path: Path) -> None:
    run(make("{swift: {path: o.jsonl, user: q, constants: {data_source: mine, version: 2}}}"), tmp_path / "out")
    found = read_rows(tmp_path / "out" / "o.jsonl")
    assert len(found) == 5
    assert all((row["data_source"], row["version"]) == ("mine", 2) for row in found)


def test_another_input_for_the_same_output_is_told(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe, rows = make(), tmp_path / "rows.jsonl"
    run(recipe, tmp_path / "out")
    mminf.run(recipe, input=rows, output=tmp_path / "out")
    (tmp_path / "other.jsonl").write_text('{"id": "z", "q": "q9"}\n')
    mminf.preview(recipe, input=tmp_path / "other.jsonl", output=tmp_path / "out")
    mminf.run(recipe, input=os.path.relpath(rows), output=tmp_path / "out")
    assert "replaces them" not in caplog.text, "the same file, and a preview that writes nothing"
    mminf.run(recipe, input=tmp_path / "other.jsonl", output=tmp_path / "out")
    told = f"the datasets in {tmp_path}/out are of {rows}; this run reads {tmp_path}/other.jsonl, and replaces them"
    assert told in caplog.text


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "webdataset"])
def test_a_selected_field_that_nothing_provides_is_told(
    kind: str, tmp_path: Path, rows: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    """All rows would lack it in silence. It is no error: bundled recipes select columns that an input may have."""
    rows({"question": "?"}, {"question": "?", "note": "n"})
    path = tmp_path / "r.yaml"
    path.write_text(
        "source: {jsonl: rows.jsonl}\nsteps: [{set: {made: '1'}}]\n"
        f"sinks: [{{{kind}: {{path: o.{kind}, columns: [id, question, note, made, flavour]}}}}]\n"
    )
    with caplog.at_level("INFO", "mminf"):
        mminf.run(path, output=tmp_path / "out")
    told = [message for message in caplog.messages if "will have" in message]
    assert told == [f"no row of o.{kind} will have flavour: no step and no column provides it"]
