"""Detects the format of a file of rows by its content. The file name's ending decides only ambiguous cases."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Literal, cast

from mminf.errors import SourceError
from mminf.image import looks_like_image_bytes
from mminf.limits import JSON_BYTES, LINE_BYTES, ROW_LINES
from mminf.storage import is_remote, open_bytes

Kind = Literal["lines", "array", "csv", "tsv", "parquet", "tar", "image", "text", "empty"]
"""lines: JSON Lines; array: JSON with a list of rows; csv, tsv: with a header."""
HEAD = 1 << 16
_GZIP = b"\x1f\x8b"
_LISTS = ("data", "rows", "records", "examples", "items", "annotations", "samples", "train")
"""Keys under which a JSON object may contain its list of rows. Lists under other keys are values: an object with
`messages` is a row itself.
"""
_UNREADABLE = {
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself; fetch the file with `git lfs pull`",
    b"ARROW1": "an Arrow file; give the folder of the dataset that was saved to disk",
    b"\xff\xff\xff\xff": "an Arrow stream; give the folder of the dataset that was saved to disk",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; decompress it, or compress it with gzip",
    b"BZh": "compressed with bzip2; decompress it, or compress it with gzip",
    b"\xfd7zXZ": "compressed with xz; decompress it, or compress it with gzip",
    b"SQLite format 3": "an SQLite database; export the table as CSV or JSON Lines",
    b"\x89HDF": "an HDF5 file; export the rows as Parquet or JSON Lines",
    b"\xff\xfe": "a text in UTF-16; save it as UTF-8 (in Excel: CSV UTF-8)",
    b"\xfe\xff": "a text in UTF-16; save it as UTF-8 (in Excel: CSV UTF-8)",
    b"\x93NUMPY": "a NumPy array; export the rows as Parquet or JSON Lines",
}
PACKED = (EOFError, OSError, zlib.error)
"""Exceptions raised for a broken compressed file."""


def is_packed(file: Path) -> bool:
    """Returns whether a file is compressed with gzip, regardless of its name."""
    with open_bytes(file) as opened:
        return opened.read(2) == _GZIP


def open_unpacked(file: Path) -> IO[bytes]:
    """Opens a file for reading; a file compressed with gzip is decompressed."""
    opened = open_bytes(file)
    head = opened.read(2)
    opened.seek(0)
    return cast("IO[bytes]", gzip.open(opened)) if head == _GZIP else opened


def read_head(file: Path) -> bytes:
    """Returns the first bytes of a file, decompressed; fewer if the file is truncated."""
    with open_unpacked(file) as opened:
        parts: list[bytes] = []
        try:
            while sum(map(len, parts)) < HEAD and (part := opened.read1(HEAD)):  # type: ignore[attr-defined]
                parts.append(part)
        except PACKED:
            pass
        return b"".join(parts)[:HEAD]


def find_kind(file: Path) -> Kind:
    """Returns the format of a file.

    Raises:
        SourceError: if the format can't be read; the message names it if it is known.
    """
    if not is_remote(file) and not file.is_file():
        raise SourceError(f"{file} is not a regular file or a folder")
    head = read_head(file)
    for magic, what in _UNREADABLE.items():
        if head.startswith(magic):
            raise SourceError(f"{file} is {what}")
    kind = kind_of(head, file.name)
    if kind is None:
        raise SourceError(f"{file} is neither JSON, CSV, TSV, Parquet, a tar archive, an image nor text")
    return kind


def kind_of(head: bytes, name: str) -> Kind | None:
    """Returns the format of a file by its first bytes and its name, or None for unknown binary data."""
    if looks_like_image_bytes(head):
        return "image"
    if head.startswith(b"PAR1"):
        return "parquet"
    if head[257:262] == b"ustar":
        return "tar"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start:
        return "empty"
    suffix = Path(name.lower().removesuffix(".gz")).suffix
    if suffix == ".txt":
        return "text"
    if start[:1] in b"[{":
        return _json_kind(start, suffix)
    if b"\0" in head:
        return None
    text = head.decode("utf-8", "replace")
    if suffix in (".csv", ".tsv") or (suffix not in (".jsonl", ".ndjson", ".json") and _delimiter(text) is not None):
        return "tsv" if (_delimiter(text) or ("\t" if suffix == ".tsv" else ",")) == "\t" else "csv"
    return "lines" if suffix in (".jsonl", ".ndjson") else "text"


def _json_kind(start: bytes, suffix: str) -> Kind:
    """Distinguishes JSON (an array, or an object over several lines) from JSON Lines (one object per line)."""
    first, _, rest = start.partition(b"\n")
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        # The first line is only a part of a value, or broken.
        return "lines" if suffix in (".jsonl", ".ndjson") and start[:1] == b"{" and len(first) > 1 else "array"
    if isinstance(value, dict) and not rest.strip() and len(start) < HEAD and suffix not in (".jsonl", ".ndjson"):
        return "array"  # one object: it contains the list of rows, or is the only row
    if isinstance(value, list):
        return "lines" if rest.lstrip()[:1] in (b"[", b"{") else "array"
    return "lines"


def _delimiter(text: str) -> str | None:
    """Returns the delimiter that splits all of the first lines into the same number of cells, at least two."""
    lines = [line for line in text.split("\n")[:6] if line.strip()]
    lines = lines[:-1] if len(lines) > 2 else lines  # the last one may be cut off
    for delimiter in ("\t", ",", ";"):
        try:
            counts = {len(row) for row in csv.reader(lines, delimiter=delimiter)}
        except csv.Error:
            continue
        if len(lines) > 1 and len(counts) == 1 and counts.pop() > 1:
            return delimiter
    return None


def limited_lines(opened: IO[bytes]) -> Iterator[bytes | None]:
    """Yields the lines of a file; None for one that is too long, which is skipped without loading it into memory."""
    most = LINE_BYTES.value
    while line := opened.readline(most + 1):
        if len(line) <= most:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = opened.readline(1 << 20)
        yield None


def too_long() -> str:
    """Returns the reason for skipping a long line."""
    return f"is too long: {LINE_BYTES}"


def load_rows(file: Path, loads: Callable[[bytes], object]) -> list[object]:
    """Returns the rows of a JSON file: an array, or an object that contains one.

    Args:
        loads: parses JSON.

    Raises:
        SourceError: if it is not JSON, is too large, or contains no list of rows.
    """
    most = JSON_BYTES.value
    with open_unpacked(file) as opened:
        try:
            data = opened.read(most + 1)
        except PACKED as error:
            raise SourceError(f"{file} can't be decompressed: {error}") from error
    if len(data) > most:
        raise SourceError(f"{file} is too large to load at once: {JSON_BYTES}; convert it to JSON Lines")
    try:
        found = loads(data.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{file} is not JSON: {error}") from error
    return _rows_in(found, file)


def _rows_in(found: object, file: Path) -> list[object]:
    if isinstance(found, list):
        return found
    if not isinstance(found, dict):
        raise SourceError(f"{file} contains no list of objects, but {type(found).__name__}")
    lists = [key for key, value in found.items() if isinstance(value, list) and value and _are_rows(value)]
    known = [key for key in found if key in _LISTS and isinstance(found[key], list) and _are_rows(found[key])]
    if len(known) == 1 and set(lists) <= set(known):
        rows: list[object] = found[known[0]]
        return rows
    if len(lists) > 1:
        named = ", ".join(map(str, lists))[:200]
        raise SourceError(f"{file} contains several lists of objects: {named}; keep only the one with the rows")
    keys = f"the keys {', '.join(map(str, found))[:200]}" if found else "no keys"
    known_keys = ", ".join(_LISTS)
    raise SourceError(f"{file} contains no list of objects, but an object with {keys}; lists can be in: {known_keys}")


def _are_rows(values: Sequence[object]) -> bool:
    return all(isinstance(value, dict) for value in values[:10]) if values else True


def read_table(file: Path, kind: Kind) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Yields the rows of a CSV or TSV file, each with the number of its first line. For a bad row, yields the reason.

    A quoted cell may span several lines. If a row of several lines is bad, each line is a bad row: the lines may be
    separate rows joined by a stray quote, or the text of one cell.

    Args:
        kind: csv or tsv; decides if the header has only one column.

    Raises:
        SourceError: if the header has a duplicate column.
    """
    csv.field_size_limit(LINE_BYTES.value)
    with open_unpacked(file) as opened:
        lines = _Lines(opened)
        delimiter = _read_delimiter(lines, kind)
        header: list[str] | None = None
        while (cells := _next_row(lines, delimiter)) is not None:
            if not cells:
                continue  # an empty line
            if header is None and not isinstance(cells, str):
                header = _check_header([cell.strip() for cell in cells], file)
                continue
            row = cells if isinstance(cells, str) else _row(header or [], cells)
            yield lines.first, row
            if isinstance(row, str):
                for number in range(lines.first + 1, lines.last + 1):
                    yield number, f"is joined to the bad row of line {lines.first} by a quote; check the quotes"


class _Lines:
    """The lines of a table.

    Attributes:
        first, last: numbers of the first and the last line of the current row.
    """

    def __init__(self, opened: IO[bytes]) -> None:
        self._lines = limited_lines(opened)
        self._pushed: str | None = None
        self.first = self.last = 0

    def begin(self) -> None:
        """Begins a row."""
        self.first = self.last + 1

    def take(self) -> Iterator[str]:
        """Yields the lines of a row. Raises csv.Error if there are too many, or one is too long."""
        size, most = 0, ROW_LINES.value
        if self._pushed is not None:
            line, self._pushed = self._pushed, None
            self.last += 1
            yield line
        for data in self._lines:
            self.last += 1
            if data is None:
                raise csv.Error(f"a line is too long: {LINE_BYTES}")
            size += len(data)
            if size > LINE_BYTES.value or self.last - self.first >= most:
                raise csv.Error(f"a quoted cell is not closed: {ROW_LINES}, {LINE_BYTES}")
            yield data.decode("utf-8" if self.last > 1 else "utf-8-sig", "surrogateescape")

    def push(self, line: str) -> None:
        """Puts back the first line, so that it is read again."""
        self._pushed = line
        self.last = 0


def _next_row(lines: _Lines, delimiter: str) -> list[str] | str | None:
    """Returns the cells of the next row, the reason why it is bad, or None at the end."""
    lines.begin()
    try:
        return next(csv.reader(lines.take(), delimiter=delimiter, strict=True))
    except StopIteration:
        return None
    except csv.Error as error:
        return f"is not a row: {error}"


def _read_delimiter(lines: _Lines, kind: Kind) -> str:
    """Returns the delimiter of a table by its first line, which may declare it (`sep=;`, as Excel writes)."""
    lines.begin()
    first = next(lines.take(), "")
    if first.lower().startswith("sep=") and len(first.strip()) == 5:
        return first.strip()[-1]
    lines.push(first)
    counts = {delimiter: first.count(delimiter) for delimiter in ("\t", ",", ";")}
    usual = "\t" if kind == "tsv" else ","
    best = max(counts, key=lambda delimiter: (counts[delimiter], delimiter == usual))
    return best if counts[best] and not counts[usual] else usual


def _check_header(header: list[str], file: Path) -> list[str]:
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise SourceError(f"{file} has a duplicate column: {twice[0]!r}")
    return header


def _row(header: list[str], cells: list[str]) -> dict[str, str] | str:
    if len(cells) != len(header):
        return f"has {len(cells)} cells, but the header has {len(header)}"
    if any(not cell.isascii() and _is_broken(cell) for cell in cells):
        return "is not valid UTF-8: save the file as UTF-8"
    return {name: cell for name, cell in zip(header, cells, strict=True) if name}


def _is_broken(text: str) -> bool:
    return any("\udc80" <= char <= "\udcff" for char in text)
