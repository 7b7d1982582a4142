"""Fuzzing: the records and bad rows of a file are counted, or the file is an error."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.errors import SourceError
from mminf.record import Record
from mminf.registry import SOURCES
from mminf.source.base import BadRow
from mminf.source.formats import kind_of
from mminf.source.guess import guess_source

from ..conftest import tiny_image
from ..fuzz import TIMES, fuzz
from .test_sources import png, read


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
