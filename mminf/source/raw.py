"""Yields the rows of dataset files as they are, without making records of them. A JSON array is streamed, too."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple

from mminf.errors import SourceError
from mminf.limits import LINE_BYTES
from mminf.source.base import load_json
from mminf.source.formats import PACKED, Kind, find_kind, load_rows, open_unpacked, read_table
from mminf.source.rows import PLACE, json_lines, parquet_rows

_CHUNK = 1 << 20
_SPACE = " \t\r\n"


class RawRow(NamedTuple):
    """A row, or a text with the reason why it can't be read.

    Attributes:
        where: name of the file, and line or index.
    """

    where: str
    row: Mapping[str, object] | str


def raw_rows(file: Path) -> Iterator[RawRow]:
    """Yields the rows of a file of JSON Lines, JSON, CSV, TSV or Parquet; its content decides which.

    Raises:
        SourceError: if the file has another format, or can't be opened.
    """
    kind = find_kind(file)
    if kind not in (*PLACE, "parquet"):
        raise SourceError(f"{file} contains no rows: it is not JSON, JSON Lines, CSV, TSV or Parquet")
    last = None
    try:
        for place, row in _ROWS[kind](file):
            last = f"{file.name}{_PLACES[kind].format(place)}"
            yield _checked(last, row)
    except (*PACKED, csv.Error, ValueError) as error:
        yield RawRow(file.name, f"can't be read{f' after {last}' if last else ''}: {error}")


def _checked(where: str, row: object) -> RawRow:
    if isinstance(row, Exception):
        return RawRow(where, f"can't be read: {row}")
    if isinstance(row, str | Mapping):
        return RawRow(where, row)
    return RawRow(where, f"is not a JSON object, but {type(row).__name__}")


def _array_rows(file: Path) -> Iterator[tuple[int, object]]:
    with open_unpacked(file) as opened:
        if _is_array(opened):
            yield from ((index, _named(row)) for index, row in enumerate(stream_array(opened)))
            return
    yield from ((index, _named(row)) for index, row in enumerate(load_rows(file, load_json)))  # an object with a list


def _named(row: object) -> object:
    return f"is not a JSON object, but {type(row).__name__}" if isinstance(row, str) else row


def _is_array(opened: IO[bytes]) -> bool:
    """Returns whether a JSON file begins with an array, and goes back to its start."""
    head = opened.read(_CHUNK).removeprefix(codecs.BOM_UTF8).lstrip()
    opened.seek(0)
    return head.startswith(b"[")


def _parquet(file: Path) -> Iterator[tuple[int, object]]:
    import pyarrow

    try:
        yield from enumerate(parquet_rows(file))
    except pyarrow.ArrowException as error:
        raise ValueError(str(error)) from error


def stream_array(opened: IO[bytes]) -> Iterator[object]:
    """Yields the items of a JSON array, which is read in parts.

    Raises:
        ValueError: if it is not JSON, or an item is longer than a line may be.
    """
    text = _Text(opened)
    text.skip("[")
    while text.next() != "]":
        yield text.value()
        if text.next() == ",":
            text.skip(",")
            if text.next() == "]":
                raise ValueError("a comma before the end of the array")
        elif text.next() != "]":
            raise ValueError(f"no comma between two rows, but {text.next()!r}")
    text.skip("]")
    if text.next():
        raise ValueError("there is text after the end of the array")


class _Text:
    """The text of a file, of which a part is in memory."""

    def __init__(self, opened: IO[bytes]) -> None:
        self._opened = opened
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._json = json.JSONDecoder(parse_constant=lambda _: None)
        self._text = ""
        self._at = 0
        self._ended = False

    def next(self) -> str:
        """Returns the next character that is not white space; an empty text at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                return ""
            self._read(_CHUNK)

    def skip(self, mark: str) -> None:
        """Skips a character. Raises ValueError if another one is next."""
        if self.next() != mark:
            raise ValueError(f"{mark!r} is expected, not {self.next()!r}")
        self._at += 1

    def value(self) -> object:
        """Returns the next JSON value. Raises ValueError if it is broken or too long."""
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._ended:
                    raise ValueError("the file is cut off, or a row is broken") from error
            except RecursionError as error:
                raise ValueError("a row is nested too deeply") from error
            else:
                # A number may go on in the next part of the file.
                if end < len(self._text) or self._ended:
                    self._at = end
                    return value
            if len(self._text) - self._at > LINE_BYTES.value:
                raise ValueError(f"a row is broken, or too long: {LINE_BYTES}")
            self._read(max(_CHUNK, len(self._text) - self._at))  # doubled, so that parsing again costs little

    def _read(self, size: int) -> None:
        data = self._opened.read(size)
        self._ended = not data
        self._text = self._text[self._at :] + self._decoder.decode(data, final=self._ended)
        self._at = 0


_ROWS: dict[Kind, Callable[[Path], Iterator[tuple[int, object]]]] = {
    "lines": json_lines,
    "array": _array_rows,
    "csv": lambda file: read_table(file, "csv"),
    "tsv": lambda file: read_table(file, "tsv"),
    "parquet": _parquet,
    "empty": lambda _: iter(()),
}
_PLACES: dict[Kind, str] = {**PLACE, "parquet": "[{}]"}
