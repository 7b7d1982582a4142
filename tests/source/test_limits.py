"""Limits of what a source holds in memory."""

from __future__ import annotations

import gzip
import io
import tracemalloc
from pathlib import Path

import pytest

from mminf.errors import SourceError
from mminf.record import Record
from mminf.registry import SOURCES
from mminf.source.base import BadRow

from .files import parquet
from .test_sources import ids, read


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
