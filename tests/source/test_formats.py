"""Files and folders as people have them: what is in them decides, and what can't be read is named."""

from __future__ import annotations

import csv
import gzip
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf import limits
from mminf.errors import SourceError
from mminf.record import Record
from mminf.registry import SOURCES
from mminf.source.base import BadRow
from mminf.source.formats import find_kind
from mminf.source.guess import guess_source

from ..fuzz import fuzz
from .files import LINES, ROWS, TABLE
from .test_sources import ids, read


@pytest.mark.parametrize(
    "name", ["rows.jsonl", "rows.json", "rows.data", "rows", "rows.csv", "ROWS.JSONL", "rows.jsonl.gz"]
)
@pytest.mark.parametrize(
    "text",
    [
        LINES,
        "\ufeff" + LINES,
        json.dumps(ROWS),
        json.dumps(ROWS, indent=2),
        "\n\n" + json.dumps(ROWS),
        json.dumps({"data": ROWS}),
        json.dumps({"version": 1, "data": ROWS}, indent=1),
        TABLE,
        "\ufeff" + TABLE,
        TABLE.replace(",what", "\twhat").replace("id,q", "id\tq").replace('b,"which, then?"', "b\twhich, then?"),
    ],
)
def test_content_decides_whatever_the_ending(name: str, text: str, tmp_path: Path) -> None:
    data = text.encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    table, lines = text.lstrip("\ufeff").startswith("id"), ".jsonl" in name.lower()
    if table and name == "rows.json":
        with pytest.raises(SourceError, match="is not JSON"):
            read(path)
        return
    if table and lines:
        assert all(isinstance(item, BadRow) for item in read(path)), "each line says that it is no JSON"
        return
    if lines and text.startswith('{"data"'):
        assert len(read(path)) == 1, "one line of JSON Lines is one row"
        return
    found = read(path)
    assert ids(found) == ["a", "b"], found
    assert [item.fields["q"] for item in found] == ["what?", "which, then?"]  # type: ignore[union-attr]


def test_a_packed_file_needs_no_ending(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(gzip.compress(LINES.encode()))
    assert ids(read(tmp_path / "rows.jsonl")) == ["a", "b"]
    (tmp_path / "rows.csv").write_bytes(gzip.compress(TABLE.encode()))
    assert ids(read(tmp_path / "rows.csv")) == ["a", "b"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK\x03\x04xx", "zip archive"), (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b"ARROW1\0\0", "Arrow file"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\0\1\2\3" * 99, "neither JSON"),
        (b"just words\nand more\n", "ending '.xyz', and the file is plain text"), (b'{"a": 1}\n{"messages": [{}]}', None),
        (b'{"messages": [{"role": "user"}]}', "an object with the keys messages"),
        (b'{"images": [{}], "annotations": [{}], "data": [{}]}', "several lists"),
        (b'{"a": 1, "b": [1, 2]}', "an object with the keys a, b"),
        (b'{"train": [{}], "test": [{}]}', "several lists of objects: train, test"),
        (b'"text"', "the file is plain text"),
    ],
)  # fmt: skip
def test_what_can_not_be_read_is_named(data: bytes, message: str | None, tmp_path: Path) -> None:
    (tmp_path / "x.xyz").write_bytes(data)
    if message is None:
        assert len(read(tmp_path / "x.xyz")) == 2
        return
    with pytest.raises(SourceError, match=message):
        read(tmp_path / "x.xyz")


def test_tables_and_their_bad_rows(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(
        b'id,q,\na,"two\nlines",x\nb,short\nc,d,e,f\n\nd,\xff,x\ne,"quo""ted",\nf,"bad"quote,x\ng,last,x\n'
    )
    found = read(tmp_path / "rows.csv")
    assert [item.id for item in found if isinstance(item, Record)] == ["a", "e", "g"]
    assert [item.fields["q"] for item in found if isinstance(item, Record)] == ["two\nlines", 'quo"ted', "last"]
    reasons = [item.reason for item in found if isinstance(item, BadRow)]
    assert reasons[0] == "rows.csv:4 has 2 cells, but the header has 3"
    assert reasons[1] == "rows.csv:5 has 4 cells, but the header has 3"
    assert reasons[2] == "rows.csv:7 is not valid UTF-8: save the file as UTF-8"
    assert "rows.csv:9 is not a row" in reasons[3]
    assert len(reasons) == 4
    (tmp_path / "rows.csv").write_text("id,q,q\na,b,c\n")
    with pytest.raises(SourceError, match="duplicate column: 'q'"):
        read(tmp_path / "rows.csv")


def test_every_line_of_a_bad_row_fails_and_none_is_lost_or_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines after a wrong quote may be rows, or text of a cell that only looks like rows: nobody can tell."""
    (tmp_path / "rows.csv").write_text('id,q\n1,a\n2,"open\n' + "".join(f"{number},x\n" for number in range(3, 9)))
    found = read(tmp_path / "rows.csv")
    assert [item.id for item in found if isinstance(item, Record)] == ["1"]
    reasons = [item.reason for item in found if isinstance(item, BadRow)]
    assert len(reasons) == 7
    assert reasons[0] == "rows.csv:3 is not a row: unexpected end of data"
    assert reasons[1] == "rows.csv:4 is joined to the bad row of line 3 by a quote; check the quotes"
    # A cell whose lines look like rows, in a row that has a cell too many.
    (tmp_path / "rows.csv").write_text('id,q\n1,"one\nfoo, bar\nend",extra\n2,b\n3,"x"y,z\n4,d\n')
    found = read(tmp_path / "rows.csv")
    assert [item.fields["q"] for item in found if isinstance(item, Record)] == ["b", "d"]
    assert len(found) == 6
    # Two quotes too many, some rows apart.
    rows = [f"{number},x" for number in range(1, 60)]
    rows[9], rows[39] = '10,"open', '40,a","b'
    (tmp_path / "rows.csv").write_text("id,q\n" + "\n".join(rows) + "\n")
    found = read(tmp_path / "rows.csv")
    assert [item.id for item in found if isinstance(item, Record)] == [str(number) for number in range(1, 10)]
    assert len(found) == 59
    monkeypatch.setenv("MMINF_LINE_BYTES", "1000")
    limits.read_again()
    (tmp_path / "rows.csv").write_text("id,q\n1,a\n2," + "x" * 2000 + "\n4,b\n5,c\n")
    found = read(tmp_path / "rows.csv")
    assert [item.id for item in found if isinstance(item, Record)] == ["1", "4", "5"]
    assert "rows.csv:3 is not a row: a line is too long" in str([getattr(item, "reason", "") for item in found])


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a;b\n1;2\n", [{"a": "1", "b": "2"}]),
        ("sep=;\na;b\n1;2\n", [{"a": "1", "b": "2"}]),
        ("sep=,\na,b\n1,2\n", [{"a": "1", "b": "2"}]),
        ("a,b\n,\n1,2\n", [{"a": "", "b": ""}, {"a": "1", "b": "2"}]),
        ("text\nhello; you\n", [{"text": "hello; you"}]),
        ("a,b;c\n1,2\n", [{"a": "1", "b;c": "2"}]),
    ],
)
def test_delimiters_of_tables(text: str, rows: list[dict[str, str]], tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(text)
    assert [item.fields for item in read(tmp_path / "rows.csv") if isinstance(item, Record)] == rows


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rows.jsonl")
    with pytest.raises(SourceError, match="is not a regular file or a folder"):
        guess_source(str(tmp_path / "rows.jsonl"))
    source = SOURCES.get("jsonl")
    with pytest.raises(SourceError, match="is not a regular file or a folder"):
        source(source.Config(path=tmp_path / "rows.jsonl"), Path("/"), tmp_path).check()


@fuzz(100)
@given(
    values=st.lists(
        st.lists(
            # A media tag in a text would be refused.
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0<")),
            min_size=2,
            max_size=2,
        ),
        min_size=2,
        max_size=5,
    )
)
def test_tables_are_read_as_they_were_written(
    values: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["one", "two"])
        writer.writerows(values)
    source = SOURCES.get("csv")(SOURCES.get("csv").Config(path=path), Path("/"), path.parent / "scratch")
    found = [(row.fields["one"], row.fields["two"]) for row in source.read() if isinstance(row, Record)]
    assert found == [(one, two) for one, two in values]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
@pytest.mark.parametrize("text", ["id,text\na,b\n", '{"id": "a"}\n'])
def test_texts_in_utf_16_are_named(tmp_path: Path, encoding: str, text: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(("\ufeff" * (encoding == "utf-16-be") + text).encode(encoding))
    with pytest.raises(SourceError, match=r"is a text in UTF-16; save it as UTF-8 \(in Excel: CSV UTF-8\)"):
        find_kind(path)
