"""`jsonl`, `json`, `csv`, `parquet`: files of rows."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mminf.errors import SourceError
from mminf.limits import BATCH_BYTES
from mminf.recipe.config import SourceConfig
from mminf.record import Record
from mminf.shard import Shard
from mminf.source.base import BadRow, home_of, load_json, source
from mminf.source.formats import (
    PACKED,
    Kind,
    find_kind,
    is_packed,
    limited_lines,
    load_rows,
    open_unpacked,
    read_table,
    too_long,
)
from mminf.source.reader import RowReader, RowSource
from mminf.storage import fingerprint_files, is_remote, list_files, open_bytes

if TYPE_CHECKING:
    from pyarrow import RecordBatch
    from pyarrow.parquet import ColumnChunkMetaData, ParquetFile, RowGroupMetaData

FEW = 32
"""Number of first rows that are inspected."""
OBJECT = 64
"""Bytes of memory per value, as a Python object."""
MOST, TOGETHER = 256, 32 * 2**20
"""Maximum number of rows, and approximate number of bytes, that are decoded at a time."""
_SPLIT = re.compile(r"(train|validation|valid|val|dev|test|eval)(?=[-._])", re.IGNORECASE)


class RowsConfig(SourceConfig):
    split: str | None = Field(
        None,
        description="Read only the files of this split (`train-00000-of-00002.parquet`, `test.jsonl`); all by default.",
    )


class _Rows(RowSource):
    """Base of the sources of rows in files. A file's format is detected by its content, not by the source's name."""

    config: RowsConfig
    Config = RowsConfig
    suffixes: ClassVar[tuple[str, ...]] = ()
    label: ClassVar[str]

    def __init__(self, config: RowsConfig, base: Path, scratch: Path) -> None:
        super().__init__(config, base, scratch)
        self._kinds: dict[Path, Kind] = {}

    def files(self) -> list[Path]:
        """Returns the file, or the matching files in the folder, in name order."""
        files = list_files(self.path, self.suffixes)
        if self.config.split is None:
            return files
        if not (wanted := [file for file in files if split_of(file) == self.config.split]):
            known = ", ".join(sorted({split_of(file) or file.name for file in files}))
            raise SourceError(f"{self.path} has no files of split {self.config.split!r}; found: {known}")
        return wanted

    def check(self) -> None:
        super().check()
        for file in self.files():
            self._kind(file)

    def fingerprint(self) -> str | None:
        return fingerprint_files(self.files())

    def read(self, shard: Shard | None = None) -> Iterator[Record | BadRow]:
        reader = self._open_reader(shard)
        for file in self.files():
            yield from _READERS[self._kind(file)](self, file, reader)

    def _first_rows(self) -> Iterator[Mapping[str, object]]:
        for file in self.files():
            with contextlib.suppress(*PACKED, csv.Error, SourceError):
                yield from (row for _, row in _ROWS[self._kind(file)](file) if isinstance(row, dict))

    def count(self) -> int | None:
        if is_remote(self.path):
            return None
        total = 0
        for file in self.files():
            if (number := _count(file, self._kind(file))) is None:
                return None
            total += number
        return total

    def _kind(self, file: Path) -> Kind:
        """Returns the format of a file. In a store its ending decides, so that it is not opened twice."""
        if (kind := self._kinds.get(file)) is None:
            by_ending = _BY_ENDING.get(file.suffix.lower()) if is_remote(file) else None
            kind = self._kinds[file] = by_ending or find_kind(file)
        if kind not in _READERS:
            raise SourceError(f"{file} is not {self.label}, but {_NAMES.get(kind, 'another format')}")
        return kind

    def read_rows(self, file: Path, reader: RowReader) -> Iterator[Record | BadRow]:
        """Yields the records of a file that is read sequentially."""
        place = 0
        try:
            for place, row in _ROWS[self._kind(file)](file):
                where = f"{file.name}{PLACE[self._kind(file)].format(place)}"
                if isinstance(row, str):
                    yield from reader.numbered.maybe_bad(where, f"{where} {row}")
                elif not isinstance(row, dict):
                    reason = f"{where} is not a JSON object, but {type(row).__name__}"
                    yield from reader.numbered.maybe_bad(where, reason)
                else:
                    yield from reader.read(row, where, home_of(file))
        except (*PACKED, csv.Error) as error:
            yield from reader.numbered.maybe_bad(
                f"{file.name}:{place + 1}", f"{file.name} can't be read after line {place}: {error}"
            )


def json_lines(file: Path) -> Iterator[tuple[int, object]]:
    """Yields the JSON value of each line with its number; a text is the reason why the line is bad."""
    with open_unpacked(file) as opened:
        for number, line in enumerate(limited_lines(opened), 1):
            if line is None:
                yield number, too_long()
            elif line.strip():
                try:
                    row = load_json(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)
                except (ValueError, RecursionError) as error:  # includes UnicodeDecodeError
                    yield number, f"is not JSON: {_in_line(error)}"
                    continue
                yield number, row if not isinstance(row, str) else f"is not a JSON object, but {type(row).__name__}"


def _in_line(error: Exception) -> str:
    """Returns an error of JSON with its column in the line: json counts lines, too, and this one is its first."""
    if not isinstance(error, json.JSONDecodeError):
        return str(error)
    where = f"at column {error.pos + 1}" if error.pos < len(error.doc.rstrip()) else "where the line ends"
    return f"{error.msg[0].lower()}{error.msg[1:]} {where}"


def _array(file: Path) -> Iterator[tuple[int, object]]:
    for index, row in enumerate(load_rows(file, load_json)):
        yield index, row if not isinstance(row, str) else "is not a JSON object, but str"


def _table(kind: Kind) -> Callable[[Path], Iterator[tuple[int, object]]]:
    return lambda file: read_table(file, kind)


def _count(file: Path, kind: Kind) -> int | None:
    """Returns the number of rows of a file, or None if counting would decompress it."""
    if kind == "parquet":
        return int(_parquet_file(file).metadata.num_rows)
    if kind == "array":
        return len(load_rows(file, load_json))
    if kind == "lines" and not is_packed(file):
        with file.open("rb") as lines:
            return sum(1 for line in limited_lines(lines) if line is None or line.strip())
    return 0 if kind == "empty" else None


def split_of(file: Path) -> str | None:
    """Returns the split that a file name begins with, as in datasets of the Hugging Face hub, or None."""
    found = _SPLIT.match(file.name)
    return found[1].lower() if found else None


@source("jsonl")
class JsonLines(_Rows):
    """JSON Lines, plain or gzipped. A line that is not a JSON object becomes a failed record."""

    suffixes = (".jsonl", ".jsonl.gz", ".ndjson")
    label = "JSON Lines"


@source("json")
class Json(_Rows):
    """A JSON file with a list of objects, or an object with one (`{"data": [...]}`). It is loaded at once."""

    suffixes = (".json", ".json.gz")
    label = "JSON"


@source("csv")
class Csv(_Rows):
    """CSV or TSV with a header, plain or gzipped; all values are texts. A row with too few or many cells fails."""

    suffixes = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
    label = "CSV or TSV"


@source("parquet")
class Parquet(_Rows):
    """Parquet, streamed by row group; embedded images (`{bytes, path}`, as Hugging Face writes them) are extracted."""

    suffixes = (".parquet",)
    label = "Parquet"


def _read_parquet(_: _Rows, file: Path, reader: RowReader) -> Iterator[Record | BadRow]:
    import pyarrow

    index = 0
    try:
        for row in parquet_rows(file):
            where = f"{file.name}[{index}]"
            if isinstance(row, Exception):
                yield from reader.numbered.maybe_bad(where, f"{where} can't be read: {row}")
            else:
                yield from reader.read(row, where, home_of(file))
            index += 1
    except (pyarrow.ArrowException, OSError) as error:
        reason = f"{file.name} can't be read after row {index}: {error}"
        yield from reader.numbered.maybe_bad(f"{file.name}[{index}]", reason)


def parquet_rows(file: Path) -> Iterator[Mapping[str, object] | Exception]:
    """Yields the rows of a Parquet file; for a row that can't be read, yields the error."""
    opened = _parquet_file(file)
    names = opened.schema_arrow.names
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SourceError(f"{file} has a duplicate column: {twice[0]!r}")
    for number in range(opened.num_row_groups):
        group = opened.metadata.row_group(number)
        size = batch_size(group)
        if size == 0:
            yield from (ValueError(f"its uncompressed size is too large: {BATCH_BYTES}") for _ in range(group.num_rows))
            continue
        for batch in opened.iter_batches(batch_size=size, row_groups=[number]):
            yield from _rows_of(batch)


def batch_size(group: RowGroupMetaData) -> int:
    """Returns the number of rows of a row group that are decoded at a time; 0 if a single row may be too large.

    A value that many rows share is stored once, in a dictionary: 256 rows of a 1 kB file may decode to 1 GB.

    Args:
        group: metadata of a row group.
    """
    columns = [group.column(number) for number in range(group.num_columns)]
    rows = max(1, int(group.num_rows))
    # A list of equal numbers takes almost no space in the file, but one object per number in memory.
    each = sum(max(int(column.total_uncompressed_size), OBJECT * int(column.num_values)) for column in columns) // rows
    if each > BATCH_BYTES.value:
        return 0
    return max(1, min(MOST, TOGETHER // max(1, each, sum(map(_largest_value, columns)))))


def _largest_value(column: ColumnChunkMetaData) -> int:
    """Returns the maximum size of a value in the dictionary of a column chunk; 0 if it has no dictionary."""
    if not column.has_dictionary_page or column.physical_type != "BYTE_ARRAY":
        return 0
    unpacked, packed = int(column.total_uncompressed_size), int(column.data_page_offset - column.dictionary_page_offset)
    # Snappy compresses to 1/21 at best; other codecs have no such limit.
    return min(unpacked, 25 * packed) if column.compression in ("SNAPPY", "UNCOMPRESSED") else unpacked


def _parquet_file(file: Path) -> ParquetFile:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(open_bytes(file) if is_remote(file) else file)
    except (pyarrow.ArrowException, OSError) as error:
        raise SourceError(f"{file} is not Parquet: {error}") from error


def _first_of_parquet(file: Path) -> Iterator[tuple[int, object]]:
    import pyarrow

    with contextlib.suppress(pyarrow.ArrowException):
        yield from enumerate(itertools.islice(parquet_rows(file), FEW))


def _rows_of(batch: RecordBatch) -> list[Mapping[str, object] | Exception]:
    """Returns the rows of an Arrow batch; a row that can't be converted is replaced by its error."""
    try:
        found: list[Mapping[str, object] | Exception] = batch.to_pylist()
    except (ValueError, OverflowError):
        found = []
        for index in range(batch.num_rows):
            try:
                found += batch.slice(index, 1).to_pylist()
            except (ValueError, OverflowError) as error:
                found.append(error)
    return found


_ROWS: dict[Kind, Callable[[Path], Iterator[tuple[int, object]]]] = {
    "lines": json_lines,
    "array": _array,
    "csv": _table("csv"),
    "tsv": _table("tsv"),
    "parquet": _first_of_parquet,
    "empty": lambda _: iter(()),
}
_READERS: dict[Kind, Callable[[_Rows, Path, RowReader], Iterator[Record | BadRow]]] = {
    "lines": _Rows.read_rows,
    "array": _Rows.read_rows,
    "csv": _Rows.read_rows,
    "tsv": _Rows.read_rows,
    "empty": _Rows.read_rows,
    "parquet": _read_parquet,
}
PLACE: dict[Kind, str] = {"lines": ":{}", "array": "[{}]", "csv": ":{}", "tsv": ":{}", "empty": ""}
_BY_ENDING: dict[str, Kind] = {
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
"""Formats of files in a store by ending, which saves a request. `.json` is not decisive: it may be JSON Lines."""
_NAMES: dict[Kind, str] = {"tar": "a tar archive", "image": "an image", "text": "plain text"}
