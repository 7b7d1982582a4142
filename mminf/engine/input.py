"""Reads sources. What a plugin's source yields is checked: mminf's own sources keep the rules."""

from __future__ import annotations

import contextlib
import json
import traceback
from collections.abc import Iterator
from dataclasses import replace
from types import FrameType

from mminf.errors import MissingField, MminfError, OutputError, SourceError, tell_bug
from mminf.record import Record
from mminf.registry import is_bundled
from mminf.shard import Shard
from mminf.sink.base import Sink
from mminf.source.base import BadRow, Numbered, Source, clean_id
from mminf.storage import reaching


def read_input(source: Source, shard: Shard | None = None) -> Iterator[Record | BadRow]:
    """Yields the records of a source, and the rows that are not records.

    The rows of a plugin's source that have the id of an earlier row get the suffix `~2`, and records with values that
    are not JSON are bad rows, which fail alone.

    Args:
        shard: only the records of a shard, if the source `cuts`; None: all records.

    Raises:
        SourceError: if the source of a plugin fails, or yields what is no row.
    """
    return _read(source, shard) if is_bundled(type(source)) else _checked(source, shard)


def _read(source: Source, shard: Shard | None) -> Iterator[Record | BadRow]:
    return source.read() if shard is None else source.read(shard)


def _checked(source: Source, shard: Shard | None) -> Iterator[Record | BadRow]:
    numbered, last = Numbered(source.config.id), -1
    for given in _telling(source, shard):
        row = _check_row(type(source).__name__, given)
        if row.seq <= last or (shard is None and not source.gaps and row.seq != last + 1):
            after = f"after number {last}" if last >= 0 else "first"
            raise SourceError(
                f"source {type(source).__name__} yielded row {row.id!r} with number {row.seq} {after}; rows are "
                "numbered by `seq` from 0, which `Numbered` does"
            )
        last = row.seq
        name = numbered.unique(clean_id(row.id))
        if isinstance(row, BadRow):
            yield BadRow(name, clean_id(str(row.reason)), row.seq)
        elif (reason := _fault(row)) is not None:
            yield BadRow(name, reason, row.seq)
        else:
            yield replace(row, id=name)


def _check_row(source: str, row: object) -> Record | BadRow:
    """Returns a row that can become a record of the run. Raises SourceError."""
    if not isinstance(row, Record | BadRow):
        raise SourceError(f"source {source} yielded {type(row).__name__}, not a Record or a BadRow")
    if not isinstance(row.id, str) or not row.id:
        raise SourceError(f"source {source} yielded a row with the id {row.id!r}, not a text; `Numbered` makes ids")
    if type(row.seq) is not int:
        raise SourceError(f"source {source} yielded row {row.id!r} with number {row.seq!r}; `Numbered` numbers rows")
    if isinstance(row, Record) and (row.path or row.root):
        raise SourceError(f"source {source} yielded {row.id!r}, which is a child of another record")
    return row


def _telling(source: Source, shard: Shard | None) -> Iterator[object]:
    with telling(source):
        rows = iter(_read(source, shard))
        while True:
            try:
                row: object = next(rows)
            except StopIteration as end:
                if _is_stray(end):
                    raise SourceError(f"source {type(source).__name__} failed: {tell_bug(end)}") from end
                return
            yield row


def _is_stray(end: StopIteration) -> bool:
    """Returns whether a function that an iterator calls has raised the end of the rows: `map` takes it for its own."""
    frames = [frame for frame, _ in traceback.walk_tb(end.__traceback__)][1:]
    return bool(frames) and not any(map(_is_iterator, frames))


def _is_iterator(frame: FrameType) -> bool:
    """Returns whether a frame is that of an iterator's method, whose end it may tell."""
    method = getattr(type(frame.f_locals.get("self")), "__next__", None)
    return getattr(method, "__code__", None) is frame.f_code


@contextlib.contextmanager
def telling(item: Source | Sink) -> Iterator[None]:
    """Converts exceptions of a plugin's source or sink to errors that name the line.

    Raises:
        SourceError, OutputError: for any exception of a plugin's class that is not mminf's own.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, MminfError) and not isinstance(error, MissingField):
            raise
        kind = type(item)
        if is_bundled(kind):
            raise
        if isinstance(item, Source):
            raise SourceError(f"source {kind.__name__} failed: {tell_bug(error)}") from error
        raise OutputError(f"sink {kind.__name__} failed: {tell_bug(error)}") from error


def check_source(source: Source) -> None:
    """Checks that an input is there, and its marks. Raises SourceError."""
    with reaching(source.path), telling(source):
        source.check()
        source.marks()


def count_source(source: Source) -> int | None:
    """Returns the number of records of an input; None if it is not known without reading it. Raises SourceError."""
    with reaching(source.path), telling(source):
        total: object = source.count()
    if total is not None and (type(total) is not int or total < 0):
        raise SourceError(
            f"source {type(source).__name__}: `count` returned {total!r}, not a number of records or None"
        )
    return total


def _fault(record: Record) -> str | None:
    """Returns why the fields of a record are not JSON, or None."""
    fields: object = record.fields
    if not isinstance(fields, dict):
        return f"its fields are not a dict, but {type(fields).__name__}"
    for key in fields:
        if not isinstance(key, str):
            return f"its field {key!r} has a name that is not a text"
    try:
        json.dumps(fields, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return f"its fields are not JSON: {error}"
    return None
