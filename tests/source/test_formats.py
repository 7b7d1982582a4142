"""Files and folders as people have them: what is in them decides, and what can't be read is named."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf import limits
from mminf.errors import SourceError
from mminf.plugin import discover
from mminf.record import Record
from mminf.registry import SOURCES
from mminf.source.base import BadRow
from mminf.source.formats import kind_of
from mminf.source.guess import guess_source

from ..conftest import tiny_image
from ..fuzz import TIMES, fuzz
from .test_sources import ids, png, read

ROWS = [{"id": "a", "q": "what?"}, {"id": "b", "q": "which, then?"}]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
TABLE = 'id,q\na,what?\nb,"which, then?"\n'


@pytest.fixture(autouse=True)
def _members() -> None:
    discover()


def kind(path: Path) -> str:
    return next(iter(guess_source(str(path))))


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
    assert reasons[2] == "rows.csv:7 is not valid UTF-8"
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


# Folders


def parquet(path: Path, *rows: dict[str, Any]) -> None:
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)


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
    import logging

    logging.getLogger("mminf").propagate = True
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


# Limits


def test_a_line_without_end_is_skipped_and_not_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMINF_LINE_BYTES", "1000000")
    path = tmp_path / "rows.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b'{"id": "a"}\n')
        for _ in range(100):
            file.write(b" " * 2**20)
        file.write(b'\n{"id": "b"}\n')
    tracemalloc.start()
    found = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ids(found) == ["a", "rows.jsonl.gz:2", "b"]
    assert "is too long: at most 1,000,000 bytes (limit line_bytes" in found[1].reason  # type: ignore[union-attr]
    assert peak < 20_000_000
    (tmp_path / "t.txt").write_bytes(b"first\n" + b"x" * 2_000_000 + b"\nlast\n")
    found = read(tmp_path / "t.txt")
    assert [type(item) for item in found] == [Record, BadRow, Record]
    (tmp_path / "t.csv").write_bytes(b"id,q\na,b\nc," + b"x" * 2_000_000 + b"\nd,e\n")
    assert [type(item) for item in read(tmp_path / "t.csv")] == [Record, BadRow, Record]


def test_a_json_file_that_is_too_large_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMINF_JSON_BYTES", "1000")
    (tmp_path / "rows.json").write_bytes(gzip.compress(b"[" + b" " * 10_000 + b"]"))
    with pytest.raises(SourceError, match="too large to load at once: at most 1,000 bytes"):
        read(tmp_path / "rows.json")


def test_a_small_parquet_file_that_is_large_unpacked(tmp_path: Path) -> None:
    import pyarrow

    path = tmp_path / "bomb.parquet"
    parquet(path, *({"id": str(number), "text": "a" * 2_000_000} for number in range(256)))
    assert path.stat().st_size < 200_000
    before = pyarrow.total_allocated_bytes()
    peak = 0
    source = SOURCES.get("parquet")
    found = 0
    for row in source(source.Config(path=path), Path("/"), tmp_path).read():
        assert isinstance(row, Record)
        found += 1
        peak = max(peak, pyarrow.total_allocated_bytes() - before)
    assert found == 256
    assert peak < 100_000_000


def test_a_parquet_file_of_equal_numbers_is_not_unpacked_whole(tmp_path: Path) -> None:
    import numpy
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "zeros.parquet"
    values = pyarrow.array(numpy.zeros(20_000_000, dtype=numpy.int64))
    zeros = pyarrow.ListArray.from_arrays(pyarrow.array([0, len(values)], pyarrow.int32()), values)
    pyarrow.parquet.write_table(pyarrow.table({"id": ["a"], "x": zeros}), path)
    assert path.stat().st_size < 100_000
    assert "its uncompressed size is too large" in read(path)[0].reason  # type: ignore[union-attr]
    table = pyarrow.table([["a"], ["b"]], names=["x", "x"])
    pyarrow.parquet.write_table(table, path)
    with pytest.raises(SourceError, match="duplicate column: 'x'"):
        read(path)


def test_samples_of_tars_have_limits_and_links_are_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tarfile

    def add(tar: tarfile.TarFile, name: str, data: bytes = b"x", link: str = "") -> None:
        member = tarfile.TarInfo(name)
        member.size = 0 if link else len(data)
        if link:
            member.type, member.linkname = tarfile.LNKTYPE, link
        tar.addfile(member, io.BytesIO(data))

    monkeypatch.setenv("MMINF_SAMPLE_BYTES", "3000000")
    with tarfile.open(tmp_path / "s.tar.gz", "w:gz") as tar:
        add(tar, "1.txt", b"one")
        for number in range(9):
            add(tar, f"2.{number}.jpg", bytes(1_000_000))
        add(tar, ".hidden.txt")
        add(tar, "3.txt", link="1.txt")
        add(tar, "4.txt", b"four")
    found = read(tmp_path / "s.tar.gz")
    assert ids(found) == [f"s.tar.gz/{number}" for number in (1, 2, 3, 4)]
    assert "too large: at most 3,000,000 bytes (limit sample_bytes" in found[1].reason  # type: ignore[union-attr]
    assert "3.txt is a link to 1.txt, not a file" in found[2].reason  # type: ignore[union-attr]
    long = tarfile.TarInfo("x")
    long.type, long.size = tarfile.GNUTYPE_LONGNAME, 2**31
    (tmp_path / "l.tar").write_bytes(long.tobuf() + bytes(2**21))
    assert "a header has 2,147,483,648 bytes" in read(tmp_path / "l.tar")[0].reason  # type: ignore[union-attr]


def test_a_parquet_row_that_is_too_large_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMINF_BATCH_BYTES", "1000000")
    parquet(tmp_path / "rows.parquet", {"id": "a", "text": "a" * 5_000_000})
    found = read(tmp_path / "rows.parquet")
    assert "its uncompressed size is too large: at most 1,000,000 bytes (limit batch_bytes" in found[0].reason  # type: ignore[union-attr]


# Fuzzing: whatever a file holds, its records and bad rows are counted, or the file is an error.


def table(draw: random.Random) -> bytes:
    lines = [["id", "q"], *([str(number), draw.choice(["x", "a,b", 'say "x"', "é", ""])] for number in range(9))]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(lines)
    return out.getvalue().encode()


def lines(draw: random.Random) -> bytes:
    return b"".join(json.dumps({"id": str(n), "image": "x.png", "n": draw.random()}).encode() + b"\n" for n in range(9))


def array(draw: random.Random) -> bytes:
    return json.dumps(
        [{"id": str(n), "messages": [{"role": "user", "content": "<image>x"}]} for n in range(9)]
    ).encode()


def columns(draw: random.Random) -> bytes:
    import pyarrow
    import pyarrow.parquet

    out = io.BytesIO()
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist([{"id": str(n), "x": {"bytes": png()}} for n in range(9)]), out
    )
    return out.getvalue()


MAKERS: dict[str, Callable[[random.Random], bytes]] = {
    "csv": table, "jsonl": lines, "json": array, "parquet": columns, "txt": table, "jsonl.gz": lambda d: gzip.compress(lines(d)),
}  # fmt: skip


@pytest.mark.parametrize("seed", range(3 * TIMES))
@pytest.mark.parametrize("ending", MAKERS)
def test_broken_files_give_rows_bad_rows_or_an_error(ending: str, seed: int, tmp_path: Path) -> None:
    draw = random.Random(f"{ending}{seed}")
    tiny_image(tmp_path / "x.png")
    for _ in range(12):
        data = bytearray(MAKERS[ending](draw))
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(len(data))
            kind = draw.randrange(4)
            if kind == 0:
                data[at] ^= 1 << draw.randrange(8)
            elif kind == 1:
                del data[at : at + draw.randint(1, 40)]
            elif kind == 2:
                data[at:at] = draw.choice(
                    [b"\0", b"\xff\xfe", b'"', b"\n", b"[" * 2000, b"{" * 50, b"9" * 5000, b"\r\n\r"]
                )
            else:
                del data[at:]
            data = data or bytearray(b"x")
        path = tmp_path / f"rows.{ending}"
        path.write_bytes(bytes(data))
        try:
            given_as, body = next(iter(guess_source(str(path)).items()))
            source = SOURCES.get(given_as)
            for row in source(source.Config(**body), Path("/"), tmp_path / "scratch").read():
                assert isinstance(row, Record | BadRow)
                json.dumps(row.fields if isinstance(row, Record) else row.reason)
        except SourceError as error:
            assert str(error)


@fuzz(300)
@given(st.binary(max_size=300), st.sampled_from(["x", "x.json", "x.csv", "x.jsonl", "x.txt", "x.parquet"]))
def test_any_bytes_have_a_kind_or_none(head: bytes, name: str) -> None:
    kind_of(head, name)


def test_many_quotes_that_are_not_closed_take_no_longer_than_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    monkeypatch.setenv("MMINF_ROW_LINES", "50")
    (tmp_path / "rows.tsv").write_text("id\tq\n" + "".join(f'{number}\t"{number}\n' for number in range(20_001)))
    began = time.monotonic()
    found = read(tmp_path / "rows.tsv")
    assert time.monotonic() - began < 20, "the square would be 200 million lines"
    assert len(found) == 20_001
