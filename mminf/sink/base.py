"""The sink: writes finished records, in source order, and puts the whole file in place at once."""

from __future__ import annotations

import itertools
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, ClassVar, NamedTuple, Protocol, TypeVar

from mminf.errors import RecordError
from mminf.media import break_other_tags
from mminf.recipe.config import SinkConfig
from mminf.record import Record
from mminf.registry import SINKS
from mminf.sink.shards import Shards, read_manifest, remove_dataset
from mminf.special_tokens import escape_row
from mminf.storage import is_remote, local_copy
from mminf.text import Expression

T = TypeVar("T")


class Written(NamedTuple):
    """A dataset that was written.

    Attributes:
        left_out, example: records without what a row needs, and why the first of them was left out.
        before: rows of the dataset that it replaced; None if there was none.
        kept: path of a larger dataset that was kept, so that this one stands beside it.
    """

    path: str
    rows: int
    left_out: int
    example: str | None
    before: int | None
    kept: str | None = None


class Assets(Protocol):
    """What records only name: vectors of the journal, and images."""

    def vector(self, key: str) -> bytes | None:
        """Returns the float32 bytes of an embedding by the key that `embed` wrote, or None."""

    def image(self, uri: str) -> bytes:
        """Returns an image's file as it is. Raises ImageError."""


class Sink(ABC):
    """Writes one dataset: JSON Lines, or a JSON array where the path ends in `.json`, or a folder of files.

    Args:
        config: of the recipe.
        output: the run's output folder, a `Path` or a `UPath`.
    """

    Config: ClassVar[type[SinkConfig]] = SinkConfig

    def __init__(self, config: Any, output: Path) -> None:
        self.config = config
        self.output = output
        self.path = output / config.path
        self.where = Expression(config.where) if config.where is not None else None
        self.tokens: frozenset[str] = frozenset()
        self.made: frozenset[str] | None = None

    def beside(self) -> Sink:
        """Returns a sink like this one that writes next to its dataset, which is kept."""
        path = self.config.path
        other = type(self)(self.config.model_copy(update={"path": path.with_name(f"new-{path.name}")}), self.output)
        other.follow(self.made or frozenset())
        return other

    @abstractmethod
    def row(self, record: Record) -> dict[str, Any] | None:
        """Returns the record's row of the dataset, or None to leave it out.

        Raises:
            RecordError: if the record lacks what the row needs.
        """

    @property
    def reads(self) -> frozenset[str]:
        """The fields that a row needs."""
        return frozenset()

    def missing(self, fields: frozenset[str]) -> frozenset[str]:
        """Returns the fields that a row needs and that records with these fields lack."""
        return self.reads - fields

    def check(self) -> None:
        """Raises RecipeError if the sink can't write, before anything runs."""

    def follow(self, made: frozenset[str]) -> None:
        """Sets the fields that the recipe's steps write; other fields come from the source."""
        self.made = made

    def escape(self, tokens: frozenset[str]) -> None:
        """Sets further special tokens to escape: those of the run's models."""
        self.tokens = tokens

    def attach(self, assets: Assets) -> None:
        """Gives the sink what reads that which records only name; most need none."""

    def write(self, records: Iterable[Record]) -> Written:
        """Writes the dataset and puts it in place at once; a record that lacks what a row needs is left out.

        Args:
            records: streamed from the journal; may be iterated over more than once.
        """
        found = Rows(self, records)
        before = None if is_remote(self.path) else count_rows(self.path)
        if self.config.rows_per_file is not None:
            with Shards(self.path, "jsonl") as shards:
                while found.more():
                    with shards.file(found) as path, path.open("wb") as file:
                        write_lines(file, itertools.islice(found, self.config.rows_per_file))
            return found.written()
        with replace_file(self.path) as file:
            (write_array if self.path.suffix == ".json" else write_lines)(file, found)
        return found.written(before)


class Rows:
    """The rows of a sink, one after the other; counts them, and those that are left out.

    Args:
        records: as `Sink.write` gets them.
        row: what makes a row; the sink's own by default.
    """

    def __init__(
        self, sink: Sink, records: Iterable[Record], row: Callable[[Record], dict[str, Any] | None] | None = None
    ) -> None:
        self.sink = sink
        self.rows = self.left_out = 0
        self.example: str | None = None
        self._row = row or sink.row
        self._records = iter(records)
        self._next: dict[str, Any] | None = None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        if not self.more():
            raise StopIteration
        row, self._next = self._next, None
        self.rows += 1
        assert row is not None
        return row

    def more(self) -> bool:
        """Tells whether there is another row."""
        while self._next is None:
            record = next(self._records, None)
            if record is None:
                return False
            try:
                if self.sink.where is None or self.sink.where.test(record.fields):
                    row = self._row(record)
                    self._next = None if row is None else escape_row(row, self.sink.tokens)
            except RecordError as error:
                self.left_out += 1
                self.example = self.example or f"record {record.id}: {error}"
        return True

    def written(self, before: int | None = None) -> Written:
        """Returns what was written, once all rows were taken."""
        return Written(str(self.sink.config.path), self.rows, self.left_out, self.example, before)


def write_lines(file: IO[bytes], rows: Iterable[dict[str, Any]]) -> None:
    """Writes rows as JSON Lines."""
    for row in rows:
        file.write(_json(row) + b"\n")


def write_array(file: IO[bytes], rows: Iterable[dict[str, Any]]) -> None:
    """Writes rows as one JSON array, a line each."""
    file.write(b"[\n")
    for number, row in enumerate(rows):
        file.write((b",\n" if number else b"") + _json(row))
    file.write(b"\n]\n")


def _json(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "replace")


def sink(name: str) -> Callable[[type[T]], type[T]]:
    """Registers a sink class under the name that recipes use."""
    return SINKS.register(name)


def count_rows(path: Path) -> int | None:
    """Returns how many rows a dataset has that a sink wrote, or None if it isn't there or can't be read."""
    if path.is_dir():
        if (manifest := read_manifest(path)) is not None:
            return int(manifest["rows"])
        path = path / "index.jsonl"
    if not path.is_file():
        return None
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        try:
            return int(pyarrow.parquet.read_metadata(path).num_rows)
        except (pyarrow.ArrowException, OSError):
            return None
    with path.open("rb") as file:
        lines = sum(1 for _ in file)
    return max(0, lines - 2) if path.suffix == ".json" else lines


@contextmanager
def replace_file(path: Path) -> Iterator[IO[bytes]]:
    """Opens a file that takes its name only when all of it is on disk, or sent to its store."""
    if is_remote(path):
        with local_copy(path) as copy, copy.open("wb") as file:
            yield file
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if path.is_dir():
            remove_dataset(path)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def json_text(value: Any) -> str:
    """Returns a text, or the JSON text of any other value."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def plain_text(value: Any, kept: str = "") -> str:
    """Returns a text for a chat turn; media tags, which trainers would count against the images, get a space.

    Args:
        kept: the tag that marks a place.
    """
    return break_other_tags(json_text(value), frozenset({kept}))
