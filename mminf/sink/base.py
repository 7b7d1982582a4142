"""The base class of sinks, which write finished records in source order and replace the dataset atomically."""

from __future__ import annotations

import itertools
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, ClassVar, NamedTuple, Protocol, TypeVar

from mminf.errors import MminfError, OutputError, RecordError, tell_bug
from mminf.media import break_other_tags
from mminf.recipe.config import SinkConfig
from mminf.record import Record
from mminf.registry import SINKS, is_bundled
from mminf.sink.lines import write_array, write_lines
from mminf.sink.placing import Guard, Placed, count_folder, recover, replace_file
from mminf.sink.shards import Shards
from mminf.special_tokens import escape_row
from mminf.storage import is_remote
from mminf.template import Expression

run_log = logging.getLogger("mminf.run")
"""The log of the run, a file."""
_MOST_LOGGED = 1000
"""Maximum number of records left out of a dataset that the log lists."""
T = TypeVar("T")


class Written(NamedTuple):
    """The result of writing a dataset.

    Attributes:
        left_out: number of records that lack a field that a row needs.
        example: the first of these records, and why it was left out.
        before: rows of the dataset that it replaced; None if there was none.
        kept: path of a larger dataset that was not replaced; this one was written next to it.
        part: name of the part, if the recipe divides its datasets.
        whole: path of the dataset in the recipe, if this is a part of it.
    """

    path: str
    rows: int
    left_out: int
    example: str | None
    before: int | None
    kept: str | None = None
    part: str | None = None
    whole: str | None = None


class Assets(Protocol):
    """Data that records refer to: vectors in the journal, and images."""

    def vector(self, key: str) -> bytes | None:
        """Returns the float32 bytes of the embedding with a key that `embed` wrote, or None."""

    def image(self, uri: str) -> bytes:
        """Returns the bytes of an image file. Raises ImageError if it can't be read."""


class Sink(ABC):
    """Writes one dataset: JSON Lines, or a JSON array where the path ends in `.json`, or a folder of files.

    A sink needs `row`. Another format needs `ending`, `write_file` and `count_file` as well; the base class streams the
    rows, splits them into files, and replaces the older dataset. mminf calls the methods in the order `follow`, `check`
    (before the run), `attach`, `escape`, `protect`, `write` (at its end). A new object is made for each of the two.

    Args:
        config: the sink's settings in the recipe, an instance of the class
            attribute `Config`.
        output: the run's output folder, a `Path` or a `UPath`.
    """

    Config: ClassVar[type[SinkConfig]] = SinkConfig
    ending: ClassVar[str] = "jsonl"
    """Ending of the files of a dataset of several files."""
    opens_images: bool = False
    """Whether the rows contain images, or copies of them, and not only their names."""
    divisible: ClassVar[bool] = True
    """Whether a recipe's `split` applies; not to a dataset whose rows depend on each other."""

    def __init__(self, config: SinkConfig, output: Path) -> None:
        self.config = config
        self.path = output / config.path
        self.where = Expression(config.where) if config.where is not None else None
        self.tokens: frozenset[str] = frozenset()
        self.made: frozenset[str] | None = None
        self._guard: Guard | None = None

    @abstractmethod
    def row(self, record: Record) -> Mapping[str, object] | None:
        """Returns the record's row in the dataset, or None to leave it out.

        Raises:
            RecordError: if the record lacks a field that the row needs.
        """

    @property
    def reads(self) -> frozenset[str]:
        """The fields that a row needs."""
        return frozenset()

    @property
    def selects(self) -> frozenset[str]:
        """The fields that a row has if the record has them."""
        return frozenset()

    def missing(self, fields: frozenset[str]) -> frozenset[str]:
        """Returns the fields that a row needs and that are not among `fields`."""
        return self.reads - fields

    def check(self) -> None:
        """Raises RecipeError if the sink can't write; called before the run starts."""

    def follow(self, made: frozenset[str]) -> None:
        """Sets the fields that the recipe's steps write; other fields come from the source."""
        self.made = made

    def escape(self, tokens: frozenset[str]) -> None:
        """Sets additional special tokens to escape: those of the run's models."""
        self.tokens = tokens

    def attach(self, assets: Assets) -> None:
        """Sets the reader of the data that records refer to; most sinks do not need it."""

    def protect(self, guard: Guard) -> None:
        """Sets the rules for replacing an existing dataset; by default it is always replaced."""
        self._guard = guard

    def may_keep(self) -> bool:
        """Returns whether there may be a larger dataset that this run must not replace."""
        guard, name = self._guard, str(self.config.path)
        return guard is not None and guard.lacks(name) and not guard.force and bool(guard.rows.get(name))

    def takes(self, record: Record) -> bool:
        """Returns whether the sink's condition is true for a record."""
        try:
            return self.where is None or self.where.test(record.fields)
        except RecordError:
            return False

    def place(self, rows: int, left_out: int) -> Placed:
        """Returns the place of a dataset that was written completely."""
        if is_remote(self.path):
            before = self._guard.rows.get(str(self.config.path)) if self._guard is not None else None
        else:
            recover(self.path)
            before = self.count()
        if self._guard is None or not self._guard.keeps(str(self.config.path), rows, left_out, before):
            return Placed(self.path, before, None)
        return Placed(self._guard.beside(self.path, self.config.path), before, str(self.config.path))

    def count(self) -> int | None:
        """Returns the number of rows of the existing dataset, or None if there is none, or it can't be read."""
        if self.path.is_dir():
            return count_folder(self.path)
        return self.count_file(self.path) if self.path.is_file() else None

    def count_file(self, path: Path) -> int | None:
        """Returns the number of rows of a file that `write_file` wrote, or None if it can't be read.

        If it is unknown, a smaller dataset may replace a larger one. So a format of its own needs its own count.
        """
        if type(self).write_file is not Sink.write_file:
            return None
        with path.open("rb") as file:
            lines = sum(1 for _ in file)
        return max(0, lines - 2) if path.suffix == ".json" else lines

    def survey(self, records: Iterable[Record]) -> None:
        """Iterates over the records before they are written, if the format needs that (a schema).

        Args:
            records: those that `takes` accepts. A `row` may still leave one out.
        """

    def write_file(self, file: IO[bytes], rows: Iterable[Mapping[str, object]], first: int) -> None:
        """Writes one file of the dataset.

        Args:
            rows: streamed; what `row` returned.
            first: number of the first row in the dataset; 0 if the dataset is one file.
        """
        (write_array if self.path.suffix == ".json" else write_lines)(file, rows)

    def write(self, records: Iterable[Record]) -> Written:
        """Writes the dataset and replaces the old one atomically; records that lack a needed field are left out.

        Args:
            records: streamed from the journal; may be iterated over more than once.

        Raises:
            OutputError: if the sink fails at a record; an existing dataset is kept.
        """
        found = Rows(self, records)
        try:
            self.survey(record for record in records if self.takes(record))
            self._write(found, records)
        except (MminfError, OSError):
            raise
        except Exception as error:
            told = str(error) if isinstance(error, _RowError) else tell_bug(error)
            raise OutputError(
                f"{self.path} can't be written: the sink failed at {found.at}: {told}. Progress is saved: correct the "
                "sink and run the same command, which calls no model again"
            ) from error
        return found.written()

    def _write(self, found: Rows, records: Iterable[Record]) -> None:
        if (per_file := self.config.rows_per_file) is None:
            with replace_file(self.path, found.place) as file:
                self.write_file(file, found, 0)
            return
        with Shards(found.start(records), self.ending, found.place) as shards:
            while found.more():
                with shards.file(found) as path, path.open("wb") as file:
                    self.write_file(file, itertools.islice(found, per_file), found.rows)


class Rows:
    """Iterates over the rows of a sink; counts them, and the records that are left out.

    Args:
        records: as for `Sink.write`.

    Attributes:
        at: the record that was read last, for messages.
    """

    def __init__(self, sink: Sink, records: Iterable[Record]) -> None:
        self.sink = sink
        self.rows = self.left_out = 0
        self.example: str | None = None
        self.at = "its start"
        self._records = iter(records)
        self._next: dict[str, object] | None = None
        self._placed: Placed | None = None

    def __iter__(self) -> Iterator[dict[str, object]]:
        return self

    def __next__(self) -> dict[str, object]:
        if not self.more():
            raise StopIteration
        row, self._next = self._next, None
        self.rows += 1
        assert row is not None
        return row

    def more(self) -> bool:
        """Returns whether there is another row."""
        while self._next is None:
            record = next(self._records, None)
            if record is None:
                return False
            self.at = f"record {record.id}"
            try:
                if self.sink.where is None or self.sink.where.test(record.fields):
                    row = _row(self.sink, record)
                    self._next = None if row is None else escape_row(row, self.sink.tokens)
            except RecordError as error:
                self._leave_out(f"record {record.id}: {error}")
        return True

    def _leave_out(self, told: str) -> None:
        """Counts a record without a row, which is in the log of the run."""
        self.left_out += 1
        self.example = self.example or told
        if self.left_out <= _MOST_LOGGED:
            run_log.warning("left out of %s: %s", self.sink.config.path, told)
        elif self.left_out == _MOST_LOGGED + 1:
            run_log.warning("left out of %s: more than %d records", self.sink.config.path, _MOST_LOGGED)

    def start(self, records: Iterable[Record]) -> Path:
        """Returns the path that a dataset of several files is written to.

        In a store, each file is sent as soon as it is written. Therefore the place is chosen here, by the number of
        records. On this machine `place` chooses it, after the rows are counted.

        Args:
            records: as for `Sink.write`; may be iterated over once more.
        """
        if is_remote(self.sink.path) and self.sink.may_keep():
            self._placed = self.sink.place(sum(1 for record in records if self.sink.takes(record)), 0)
            return self._placed.path
        path: Path = self.sink.path
        return path

    def place(self) -> Path:
        """Returns the place of the dataset, after all rows were taken."""
        if self._placed is None:
            self._placed = self.sink.place(self.rows, self.left_out)
        return self._placed.path

    def written(self) -> Written:
        """Returns what was written, after all rows were taken and the dataset was put in place."""
        placed = self._placed
        name = self.sink.config.path
        if placed is None:
            return Written(str(name), self.rows, self.left_out, self.example, None)
        named = str(name.with_name(placed.path.name))
        return Written(named, self.rows, self.left_out, self.example, placed.before, placed.kept)


class _RowError(Exception):
    """A sink's `row` has failed; the message names the line."""


def _row(sink: Sink, record: Record) -> Mapping[str, object] | None:
    try:
        row: object = sink.row(record)
    except MminfError:
        raise
    except Exception as error:  # a StopIteration would end the dataset
        if isinstance(error, OSError) and is_bundled(type(sink)):
            raise
        raise _RowError(tell_bug(error)) from error
    if row is None or isinstance(row, Mapping):
        return row
    raise _RowError(f"`row` returned {type(row).__name__}, not a dict or None")


def sink(name: str) -> Callable[[type[T]], type[T]]:
    """Registers a sink class under the name that recipes use."""
    return SINKS.register(name)


def json_text(value: object) -> str:
    """Returns a text, or the JSON text of any other value."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def plain_text(value: object, kept: str = "") -> str:
    """Returns a text for a chat turn; a space breaks media tags, which trainers would match with the images.

    Args:
        kept: the tag that is not broken, because it marks the position of an image.
    """
    return break_other_tags(json_text(value), frozenset({kept}))
