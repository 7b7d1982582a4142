"""`jsonl`, `json`, `parquet`: files of rows."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from mminf.errors import SourceError
from mminf.record import Fields, Record
from mminf.source.base import BadRow, Numbered, Source, home_of, json_fields, load_json, normalize_images, source
from mminf.storage import fingerprint_files, is_remote, list_files, open_bytes

# What a row can hold that no record can be made of.
_UNREADABLE = (TypeError, ValueError, OSError, RecursionError, OverflowError)


class _Rows(Source):
    cuts = True
    suffixes: tuple[str, ...] = ()

    def files(self) -> list[Path]:
        """Returns the file, or the files of that kind in the folder, in name order."""
        return list_files(self.path, self.suffixes)

    def check(self) -> None:
        super().check()
        self.files()

    def fingerprint(self) -> str | None:
        return fingerprint_files(self.files())


@source("jsonl")
class JsonLines(_Rows):
    """JSON Lines, plain or gzipped; a line that is no JSON object fails alone."""

    suffixes = (".jsonl", ".jsonl.gz", ".ndjson")

    def read(self) -> Iterator[Record | BadRow]:
        numbered = Numbered(self.config.id, self.part)
        for file in self.files():
            number = 0
            try:
                with _open(file) as lines:
                    for number, line in enumerate(lines, 1):
                        if line.strip():
                            yield from self._record(line, file, number, numbered)
            except (EOFError, OSError, zlib.error) as error:
                reason = f"{file.name} breaks off after line {number}: {error}"
                yield from numbered.maybe_bad(f"{file.name}:{number + 1}", reason)

    def _record(self, line: bytes, file: Path, number: int, numbered: Numbered) -> Iterator[Record | BadRow]:
        where = f"{file.name}:{number}"
        try:
            row = load_json(line)
        except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError, too
            yield from numbered.maybe_bad(where, f"{where} is not JSON: {error}")
            return
        if not isinstance(row, dict):
            yield from numbered.maybe_bad(where, f"{where} is no JSON object, but {type(row).__name__}")
            return
        yield from read_json_row(row, where, home_of(file), self.scratch, numbered)

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

    def read(self) -> Iterator[Record | BadRow]:
        numbered = Numbered(self.config.id, self.part)
        for file in self.files():
            for index, row in enumerate(self._load(file)):
                where = f"{file.name}[{index}]"
                if isinstance(row, dict):
                    yield from read_json_row(row, where, home_of(file), self.scratch, numbered)
                else:
                    yield from numbered.maybe_bad(where, f"{where} is no JSON object, but {type(row).__name__}")

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

    def read(self) -> Iterator[Record | BadRow]:
        import pyarrow

        numbered = Numbered(self.config.id, self.part)
        for file in self.files():
            index = 0
            try:
                for batch in self._file(file).iter_batches(batch_size=256):
                    for row in _rows_of(batch):
                        where = f"{file.name}[{index}]"
                        if isinstance(row, Exception):
                            yield from numbered.maybe_bad(where, f"{where} can't be read: {row}")
                        else:
                            yield from read_row(row, where, home_of(file), self.scratch, numbered)
                        index += 1
            except (pyarrow.ArrowException, OSError) as error:
                reason = f"{file.name} breaks off after row {index}: {error}"
                yield from numbered.maybe_bad(f"{file.name}[{index}]", reason)

    def count(self) -> int:
        return sum(self._file(file).metadata.num_rows for file in self.files())

    def _file(self, file: Path) -> Any:
        import pyarrow
        import pyarrow.parquet

        try:
            return pyarrow.parquet.ParquetFile(open_bytes(file) if is_remote(file) else file)
        except (pyarrow.ArrowException, OSError) as error:
            raise SourceError(f"{file} is not Parquet: {error}") from error


def read_row(row: Any, where: str, folder: Path, scratch: Path, numbered: Numbered) -> Iterator[Record | BadRow]:
    """Yields the record of a row of Arrow values, if it belongs to this part."""

    def fields() -> Fields:
        found = dict(normalize_images(row, folder, scratch))
        if "images" in found:
            found.pop("image", None)
        return json_fields(found)

    return _read(row, fields, where, numbered)


def read_json_row(
    row: Fields, where: str, folder: Path, scratch: Path, numbered: Numbered
) -> Iterator[Record | BadRow]:
    """Yields the record of a row of JSON values, if it belongs to this part."""
    return _read(row, lambda: normalize_images(row, folder, scratch), where, numbered)


def _read(row: Any, fields: Callable[[], Fields], where: str, numbered: Numbered) -> Iterator[Record | BadRow]:
    """Names a row before anything of it is unpacked, which may mean to write its images."""
    try:
        name = numbered.name(row)
    except _UNREADABLE as error:
        yield from numbered.maybe_bad(where, f"{where} can't be read: {error}")
        return
    if name is None:
        return
    try:
        made = fields()
    except _UNREADABLE as error:
        yield numbered.bad(where, f"{where} can't be read: {error}")
        return
    yield numbered.record(name, made)


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
