"""Folders as sources."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mminf.errors import SourceError
from mminf.registry import SOURCES
from mminf.source.guess import guess_source

from .files import kind, parquet
from .test_sources import ids, png, read


def test_a_snapshot_of_a_hubs_dataset(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "README.md").write_text("# data")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x.json").write_text("{}")
    parquet(tmp_path / "data" / "train-00001-of-00002.parquet", {"id": "b"})
    parquet(tmp_path / "data" / "train-00000-of-00002.parquet", {"id": "a"})
    assert ids(read(tmp_path)) == ["a", "b"]
    parquet(tmp_path / "data" / "test-00000-of-00001.parquet", {"id": "c"})
    assert ids(read(tmp_path)) == ["a", "b"]
    assert ids(read(tmp_path, split="test")) == ["c"]
    with pytest.raises(SourceError, match="no files of split 'dev'; found: test, train"):
        read(tmp_path, split="dev")
    source = SOURCES.get("parquet")
    assert ids(list(source(source.Config(path=tmp_path), Path("/"), tmp_path).read())) == ["c", "a", "b"], "as named"
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "logo.png").write_bytes(png())
    assert ids(read(tmp_path, split="test")) == ["c"], "an image beside the rows changes nothing"
    parquet(tmp_path / "de" / "train-00000-of-00001.parquet", {"id": "d"})
    with pytest.raises(SourceError, match=r"rows in several folders, data, de; give one of them"):
        read(tmp_path)


def test_rows_of_another_type_in_a_folder_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "a"}\n')
    (tmp_path / "notes.txt").write_text("notes")
    assert ids(read(tmp_path)) == ["a"] and not caplog.records
    (tmp_path / "dataset_infos.json").write_text("{}")
    assert ids(read(tmp_path)) == ["a"] and not caplog.records, "files of JSON are often about the others"
    (tmp_path / "b.csv").write_text("id\nb\n")
    (tmp_path / "c.tsv").write_text("id\nc\n")
    assert ids(read(tmp_path)) == ["a"]
    assert "only its jsonl files are read, not b.csv and 1 more" in caplog.text


def test_a_folder_of_json_files(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"id": "a"}]')
    (tmp_path / "b.json").write_text('{"id": "b"}\n{"id": "c"}\n')
    assert ids(read(tmp_path)) == ["a", "b", "c"]
    (tmp_path / "x.png").write_bytes(png())
    assert kind(tmp_path) == "images", "files of JSON beside images are their labels"


@pytest.mark.parametrize("meta", ["metadata.jsonl", "metadata.csv"])
def test_a_folder_of_images_with_a_file_about_them(meta: str, tmp_path: Path) -> None:
    folder = tmp_path / "train"
    folder.mkdir()
    for name in ("1.png", "2.png"):
        (folder / name).write_bytes(png())
    text = 'file_name,text\n1.png,one\n2.png,"a, b"\n' if meta.endswith("csv") else (
        '{"file_name": "1.png", "text": "one"}\n{"file_name": "2.png", "text": "a, b"}\n'
    )  # fmt: skip
    (folder / meta).write_text(text)
    for folder_given in (folder, tmp_path):
        found = read(folder_given)
        assert [item.fields["text"] for item in found] == ["one", "a, b"]  # type: ignore[union-attr]
        assert [item.fields["images"] for item in found] == [[str(folder / "1.png")], [str(folder / "2.png")]]  # type: ignore[union-attr]
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / meta).write_text(text)
    with pytest.raises(SourceError, match=r"several image folders, test/metadata.*, train/metadata"):
        read(tmp_path)


def test_a_path_that_is_there_wins_over_a_pattern(tmp_path: Path) -> None:
    for name in ("rows[1].jsonl", "rows1.jsonl"):
        (tmp_path / name).write_text(json.dumps({"id": name}) + "\n")
    assert ids(read(tmp_path / "rows[1].jsonl")) == ["rows[1].jsonl"]
    assert ids(read(tmp_path / "rows*.jsonl")) == ["rows1.jsonl", "rows[1].jsonl"]
    folder = tmp_path / "what?"
    folder.mkdir()
    (folder / "*.png").write_bytes(png())
    assert ids(read(folder)) == ["*.png"]
    assert ids(read(folder / "*.png")) == ["*.png"]


def test_an_empty_or_foreign_folder_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no images in .*known endings"):
        read(tmp_path)
    (tmp_path / "a.docx").write_bytes(b"x")
    source = SOURCES.get("parquet")
    with pytest.raises(SourceError, match=r"no \.parquet files in .*, which has a\.docx"):
        source(source.Config(path=tmp_path), Path("/"), tmp_path).check()
    for named, message in (("no\0thing", "NUL"), ("x" * 5000, "can't be reached|no such file")):
        with pytest.raises(Exception, match=message) as told:
            guess_source(named)
        assert type(told.value).__name__ in ("UsageError", "SourceError")


@pytest.mark.skipif(os.geteuid() == 0 and not hasattr(os, "seteuid"), reason="needs a user who may not read all")
def test_a_folder_that_can_not_be_read_is_named_and_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a/x.png", "lost+found/y.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(png())
    (tmp_path / "lost+found").chmod(0)
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents:
        if folder.stat().st_uid == os.geteuid() and folder != Path("/tmp") and folder.is_relative_to("/tmp"):
            folder.chmod(0o755)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        found = ids(read(tmp_path, Path("/nowhere")))
    finally:
        if user == 0:
            os.seteuid(0)
        (tmp_path / "lost+found").chmod(0o755)
    assert found == ["a/x.png"]
    assert "unreadable folder: lost+found" in caplog.text
