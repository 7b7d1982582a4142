"""Rows of files as they are, and JSON arrays that are read in parts."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf import limits
from mminf.errors import SourceError
from mminf.source import raw
from mminf.source.raw import raw_rows, stream_array

ROWS: list[dict[str, Any]] = [{"a": "é\n图"}, {"a": [1, {"b": None}]}, {"a": 'quote " \\ ]}'}]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@given(st.lists(VALUES), st.sampled_from([None, 0, 2]), st.integers(1, 9), st.booleans())
def test_an_array_in_parts_is_the_array(values: list[Any], indent: int | None, chunk: int, escaped: bool) -> None:
    data = json.dumps(values, indent=indent, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    before, raw._CHUNK = raw._CHUNK, chunk
    try:
        data.decode()
    except UnicodeDecodeError:
        return
    try:
        assert list(stream_array(io.BytesIO(data))) == values
    finally:
        raw._CHUNK = before


@pytest.mark.parametrize(
    ("text", "values", "message"),
    [
        ('[1, {"a": ', 1, "the file is cut off, or a row is broken"),
        ("[1, 2", 1, "no comma between two rows, but ''"),
        ("[1 2]", 1, "no comma between two rows, but '2'"),
        ("[1,]", 1, "a comma before the end of the array"),
        ("[1] x", 1, "text after the end"),
        ("[1, nope]", 1, "cut off, or a row is broken"),
        ("[", 0, "the file is cut off"),
        ("", 0, r"'\[' is expected, not ''"),
        ("[" + "[" * 100_000, 0, "nested too deeply"),
    ],
)
def test_a_broken_array_ends_with_an_error(text: str, values: int, message: str) -> None:
    found = stream_array(io.BytesIO(text.encode()))
    for _ in range(values):
        next(found)
    with pytest.raises(ValueError, match=message):
        list(found)


def test_a_row_may_be_as_long_as_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMINF_LINE_BYTES", "1000")
    limits.read_again()
    data = json.dumps([1, "x" * 3_000_000]).encode()
    found = stream_array(io.BytesIO(data))
    assert next(found) == 1
    with pytest.raises(ValueError, match="too long: at most 1,000 bytes"):
        next(found)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("r.json", json.dumps(ROWS).encode()),
        ("r.json", json.dumps(ROWS, indent=1, ensure_ascii=False).encode("utf-8-sig")),
        ("r.json.gz", gzip.compress(json.dumps(ROWS).encode(), mtime=0)),
        ("r.json", json.dumps({"data": ROWS}).encode()),
        ("r.jsonl", b"\n".join(json.dumps(row).encode() for row in ROWS)),
        ("r.jsonl.gz", gzip.compress(b"\n".join(json.dumps(row).encode() for row in ROWS), mtime=0)),
        ("r.dat", b"\n".join(json.dumps(row).encode() for row in ROWS)),
    ],
)
def test_formats_of_json(tmp_path: Path, name: str, data: bytes) -> None:
    assert [row for _, row in raw_rows(write(tmp_path / name, data))] == ROWS


def test_tables_and_parquet(tmp_path: Path) -> None:
    found = list(raw_rows(write(tmp_path / "r.csv", b'a,b\n1,"x,y"\n2\n')))
    assert [row for _, row in found] == [{"a": "1", "b": "x,y"}, "has 1 cells, but the header has 2"]
    assert [where for where, _ in found] == ["r.csv:2", "r.csv:3"]
    pyarrow.parquet.write_table(pyarrow.table({"a": [1, 2], "b": [b"x", None]}), tmp_path / "r.parquet")
    assert list(raw_rows(tmp_path / "r.parquet")) == [
        ("r.parquet[0]", {"a": 1, "b": b"x"}),
        ("r.parquet[1]", {"a": 2, "b": None}),
    ]


def test_broken_rows_have_their_place(tmp_path: Path) -> None:
    lines = write(tmp_path / "r.jsonl", b'{"a": 1}\n{"a"\n\n[1]\n"x"\n{"a": 2}\n{"a" 2}')
    found = list(raw_rows(lines))
    assert [where for where, _ in found] == [
        "r.jsonl:1",
        "r.jsonl:2",
        "r.jsonl:4",
        "r.jsonl:5",
        "r.jsonl:6",
        "r.jsonl:7",
    ]
    assert found[-1][1] == "is not JSON: expecting ':' delimiter at column 6"
    assert [row if isinstance(row, str) else "" for _, row in found][1:4] == [
        "is not JSON: expecting ':' delimiter where the line ends",
        "is not a JSON object, but list",
        "is not a JSON object, but str",
    ]
    array = write(tmp_path / "r.json", b'[{"a": 1}, "x", 3, {"a": 2')
    assert [tuple(item) for item in raw_rows(array)] == [
        ("r.json[0]", {"a": 1}),
        ("r.json[1]", "is not a JSON object, but str"),
        ("r.json[2]", "is not a JSON object, but int"),
        ("r.json", "can't be read after r.json[2]: the file is cut off, or a row is broken"),
    ]


def test_a_cut_off_archive_ends_with_a_broken_row(tmp_path: Path) -> None:
    packed = gzip.compress(b"".join(json.dumps({"n": n, "x": str(n) * 99}).encode() + b"\n" for n in range(3000)))
    found = list(raw_rows(write(tmp_path / "r.jsonl.gz", packed[: len(packed) // 2])))
    assert len(found) > 1000
    assert found[-1].where == "r.jsonl.gz"
    assert str(found[-1].row).startswith("can't be read after r.jsonl.gz:")


def test_cut_off_parquet_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"a": list(range(100))}), tmp_path / "r.parquet")
    data = (tmp_path / "r.parquet").read_bytes()
    with pytest.raises(SourceError, match="r.parquet is not Parquet"):
        list(raw_rows(write(tmp_path / "r.parquet", data[:-20])))


@pytest.mark.parametrize("data", [b"some text\nmore", b"\x89PNG\r\n\x1a\n" + b"\0" * 30])
def test_other_files_have_no_rows(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(SourceError, match="f contains no rows: it is not JSON, JSON Lines, CSV, TSV or Parquet"):
        list(raw_rows(write(tmp_path / "f", data)))


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    assert list(raw_rows(write(tmp_path / "r.jsonl", b"\n"))) == []
    assert list(raw_rows(write(tmp_path / "r.json", b"[]"))) == []
