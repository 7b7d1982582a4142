"""`jsonl`, `json`, `parquet`: files of rows."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

from mminf.errors import SourceError
from mminf.record import Record
from mminf.source.base import BadRow, home_of, load_json, source
from mminf.source.reader import RowReader, RowSource
from mminf.storage import fingerprint_files, is_remote, list_files, open_bytes

FEW = 32
"""Rows of Arrow values that are looked at together: they may hold images of megabytes."""


class _Rows(RowSource):
    suffixes: tuple[str, ...] = ()

    def files(self) -> list[Path]:
        """Returns the file, or the files of that kind in the folder, in name order."""
        return list_files(self.path, self.suffixes)

    def check(self) -> None:
        super().check()
        self.files()

    def fingerprint(self) -> str | None:
        return fingerprint_files(self.files())

    def read(self) -> Iterator[Record | BadRow]:
        reader = self._open_reader()
        for file in self.files():
            yield from self._read_file(file, reader)

    @abstractmethod
    def _read_file(self, file: Path, reader: RowReader) -> Iterator[Record | BadRow]:
        """Yields the records of a file."""


@source("jsonl")
class JsonLines(_Rows):
    """JSON Lines, plain or gzipped; a line that is no JSON object fails alone."""

    suffixes = (".jsonl", ".jsonl.gz", ".ndjson")

    def _read_file(self, file: Path, reader: RowReader) -> Iterator[Record | BadRow]:
        number = 0
        try:
            with _open(file) as lines:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        yield from self._record(line, file, number, reader)
        except (EOFError, OSError, zlib.error) as error:
            reason = f"{file.name} breaks off after line {number}: {error}"
            yield from reader.numbered.maybe_bad(f"{file.name}:{number + 1}", reason)

    def _record(self, line: bytes, file: Path, number: int, reader: RowReader) -> Iterator[Record | BadRow]:
        where = f"{file.name}:{number}"
        try:
            row = load_json(line)
        except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError, too
            yield from reader.numbered.maybe_bad(where, f"{where} is not JSON: {error}")
            return
        if not isinstance(row, dict):
            yield from reader.numbered.maybe_bad(where, f"{where} is not a JSON object, but {type(row).__name__}")
            return
        yield from reader.read(row, where, home_of(file))

    def _first_rows(self) -> Iterator[Mapping[str, Any]]:
        for file in self.files():
            with contextlib.suppress(EOFError, OSError, zlib.error), _open(file) as lines:
                for line in lines:
                    with contextlib.suppress(ValueError, RecursionError):
                        if isinstance(row := load_json(line), dict):
                            yield row

    def count(self) -> int | None:
        if is_remote(self.path) or any(file.suffix == ".gz" for file in self.files()):
            return None
        total = 0
        for file in self.files():
            with file.open("rb") as lines:
                total += sum(1 for line in lines if line.strip())
        return total


@source("json")
class Json(_Rows):
    """A JSON file that holds a list of objects; it is read whole."""

    suffixes = (".json",)

    def _read_file(self, file: Path, reader: RowReader) -> Iterator[Record | BadRow]:
        for index, row in enumerate(self._load(file)):
            where = f"{file.name}[{index}]"
            if isinstance(row, dict):
                yield from reader.read(row, where, home_of(file))
            else:
                yield from reader.numbered.maybe_bad(where, f"{where} is not a JSON object, but {type(row).__name__}")

    def _first_rows(self) -> Iterator[Mapping[str, Any]]:
        for file in self.files():
            yield from (row for row in self._load(file) if isinstance(row, dict))

    def _load(self, file: Path) -> list[Any]:
        try:
            rows = load_json(file.read_bytes())
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{file} is not JSON: {error}") from error
        if not isinstance(rows, list):
            raise SourceError(f"{file} holds no list of objects, but {type(rows).__name__}")
        return rows

    def count(self) -> int:
        return sum(len(self._load(file)) for file in self.files())


@source("parquet")
class Parquet(_Rows):
    """Parquet, streamed by row group; embedded images (`{bytes, path}`, as Hugging Face writes them) are unpacked."""

    suffixes = (".parquet",)

    def _read_file(self, file: Path, reader: RowReader) -> Iterator[Record | BadRow]:
        import pyarrow

        index = 0
        try:
            for batch in self._file(file).iter_batches(batch_size=256):
                for row in _rows_of(batch):
                    where = f"{file.name}[{index}]"
                    if isinstance(row, Exception):
                        yield from reader.numbered.maybe_bad(where, f"{where} can't be read: {row}")
                    else:
                        yield from reader.read(row, where, home_of(file))
                    index += 1
        except (pyarrow.ArrowException, OSError) as error:
            reason = f"{file.name} breaks off after row {index}: {error}"
            yield from reader.numbered.maybe_bad(f"{file.name}[{index}]", reason)

    def _first_rows(self) -> Iterator[Mapping[str, Any]]:
        import pyarrow

        for file in self.files():
            with contextlib.suppress(pyarrow.ArrowException, OSError):
                batch = next(self._file(file).iter_batches(batch_size=FEW), None)
                yield from (row for row in _rows_of(batch) if isinstance(row, dict)) if batch is not None else ()
                return

    def count(self) -> int:
        return sum(self._file(file).metadata.num_rows for file in self.files())

    def _file(self, file: Path) -> Any:
        import pyarrow
        import pyarrow.parquet

        try:
            return pyarrow.parquet.ParquetFile(open_bytes(file) if is_remote(file) else file)
        except (pyarrow.ArrowException, OSError) as error:
            raise SourceError(f"{file} is not Parquet: {error}") from error


def _rows_of(batch: Any) -> list[Any]:
    """Returns the rows of an Arrow batch; where it can't be converted whole, what can't be is its own error."""
    try:
        found: list[Any] = batch.to_pylist()
    except (ValueError, OverflowError):
        found = []
        for index in range(batch.num_rows):
            try:
                found += batch.slice(index, 1).to_pylist()
            except (ValueError, OverflowError) as error:
                found.append(error)
    return found


def _open(file: Path) -> IO[bytes]:
    opened = open_bytes(file)
    return cast("IO[bytes]", gzip.open(opened)) if file.suffix == ".gz" else opened
