from __future__ import annotations

import gzip
import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mminf.errors import SourceError
from mminf.plugin import discover
from mminf.record import Record
from mminf.registry import SOURCES
from mminf.source.base import BadRow, _tell_null
from mminf.source.guess import guess_source

from ..conftest import tiny_image


@pytest.fixture(autouse=True)
def _members() -> None:
    discover()


def read(path: Path, scratch: Path | None = None, **settings: Any) -> list[Record | BadRow]:
    kind, body = next(iter(guess_source(str(path)).items()))
    cls = SOURCES.get(kind)
    source = cls(cls.Config.model_validate({**body, **settings}), Path("/"), scratch or path.parent / "scratch")
    source.check()
    found = list(source.read())
    assert source.count() in (None, len(found))
    return found


def ids(found: list[Record | BadRow]) -> list[str]:
    return [item.id for item in found]


def png() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(data, "PNG")
    return data.getvalue()


def test_image_folders_are_read_recursively_in_name_order(tmp_path: Path) -> None:
    for name in ("b.png", "a/z.JPG", "a/b/c.webp", "a.png", "notes.txt", ".hidden/x.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    found = read(tmp_path)
    assert ids(found) == ["a/b/c.webp", "a/z.JPG", "a.png", "b.png"]
    assert found[0].fields["images"] == [str((tmp_path / "a/b/c.webp").resolve())]  # type: ignore[union-attr]
    assert [item.seq for item in found] == [0, 1, 2, 3]  # type: ignore[union-attr]
    assert ids(read(tmp_path / "a.png")) == ["a.png"]


def test_a_folder_without_images_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no images in"):
        read(tmp_path)


def test_rows_keep_their_columns_and_get_image_lists(tmp_path: Path) -> None:
    tiny_image(tmp_path / "a.png")
    path = tmp_path / "rows.jsonl"
    rows = [{"id": 7, "image": "a.png", "note": {"x": 1}}, {"images": ["a.png", "https://h/b.png"]}]
    path.write_text("\n".join(map(json.dumps, rows)))
    first, second = read(path)
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert (first.id, first.fields["note"], first.fields["image"]) == ("7", {"x": 1}, "a.png")
    assert first.fields["images"] == [str(tmp_path / "a.png")]
    assert second.fields["images"] == [str(tmp_path / "a.png"), "https://h/b.png"]


def test_ids_come_from_the_row_and_not_from_its_place(tmp_path: Path) -> None:
    rows = [json.dumps({"text": text}) for text in "abc"]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(rows))
    before = ids(read(path))
    path.write_text("\n".join(reversed(rows)))
    assert ids(read(path)) == before[::-1]
    path.write_text("\n".join([rows[0], rows[0], '{"id": "x"}', '{"id": "x"}', '{"id": null}']))
    same = ids(read(path))
    assert same[1] == f"{same[0]}~2"
    assert same[2:4] == ["x", "x~2"]
    assert len(set(same)) == 5


def test_the_first_id_of_several_rows_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "told"}\n{"id": "other"}\n{"id": "told"}\n{"id": "other"}\n{"id": "told"}\n')
    with caplog.at_level("INFO", "mminf"):
        for _ in range(2):
            assert ids(read(path)) == ["told", "other", "told~2", "other~2", "told~3"]
    said = [record.message for record in caplog.records if "later ones get a suffix" in record.message]
    assert said == ["several rows have the id told, or the same content: later ones get a suffix, as in told~2"]


@pytest.mark.parametrize("line", ["{cut", "3", "null", '"text"', b"\xff\xfe".decode("latin-1")])
def test_a_bad_line_is_a_bad_row(tmp_path: Path, line: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{{"id": "a"}}\n{line}\n\n{{"id": "b"}}\n', encoding="latin-1")
    found = read(path)
    assert ids(found) == ["a", "rows.jsonl:2", "b"]
    assert isinstance(found[1], BadRow)
    assert "rows.jsonl:2 is " in found[1].reason


def test_gzip_json_and_folders_of_files(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "rows.jsonl.gz", "wt") as file:
        file.write('{"id": "a"}\n')
    assert ids(read(tmp_path / "rows.jsonl.gz")) == ["a"]
    (tmp_path / "rows.json").write_text('[{"id": "a"}, 3]')
    assert ids(read(tmp_path / "rows.json")) == ["a", "rows.json[1]"]
    (tmp_path / "rows.json").write_text("{}")
    with pytest.raises(SourceError, match="contains no list"):
        read(tmp_path / "rows.json")
    folder = tmp_path / "parts"
    folder.mkdir()
    for name in ("2", "1"):
        (folder / f"{name}.jsonl").write_text(json.dumps({"id": name}))
    assert ids(read(folder)) == ["1", "2"]


def test_parquet_with_embedded_images(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [{"id": "a", "image": {"bytes": png(), "path": None}, "n": 1}, {"id": "b", "image": None, "n": 2}]
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    first, second = read(path)
    assert isinstance(first, Record)
    stored = Path(first.fields["images"][0])
    assert stored.read_bytes() == png()
    assert stored.parent == tmp_path / "scratch"
    assert (first.fields["n"], second.fields["n"]) == (1, 2)  # type: ignore[union-attr]
    (tmp_path / "bad.parquet").write_bytes(b"no")
    with pytest.raises(SourceError, match="is not Parquet"):
        read(tmp_path / "bad.parquet")


def test_datasets_on_disk(tmp_path: Path) -> None:
    import datasets

    made = datasets.Dataset.from_list([{"id": "a", "image": Image.new("RGB", (4, 4)), "text": "t"}])
    made.save_to_disk(str(tmp_path / "one"))
    found = read(tmp_path / "one")
    assert isinstance(found[0], Record)
    assert found[0].fields["text"] == "t"
    with Image.open(found[0].fields["images"][0]) as image:
        assert image.size == (4, 4)
    datasets.DatasetDict({"test": made}).save_to_disk(str(tmp_path / "several"))
    assert ids(read(tmp_path / "several", split="test")) == ["a"]
    with pytest.raises(SourceError, match="no split 'train'; its splits are test"):
        read(tmp_path / "several")


def test_inputs_that_nobody_knows(tmp_path: Path) -> None:
    (tmp_path / "x.xyz").touch()
    with pytest.raises(SourceError, match=r"unknown ending '\.xyz'"):
        guess_source(str(tmp_path / "x.xyz"))


def test_numbers_that_json_does_not_have_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _tell_null.cache_clear()
    caplog.set_level(logging.INFO)
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "a", "n": NaN}\n{"id": "b", "n": [Infinity, NaN]}\n')
    assert [record.fields["n"] for record in read(path) if isinstance(record, Record)] == [None, [None, None]]
    told = "the input contains {}, which JSON does not have: it is read as null"
    assert caplog.messages == [told.format("NaN"), told.format("Infinity")]
