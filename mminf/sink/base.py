"""The sink: writes finished records, in source order, and puts the whole file in place at once."""

from __future__ import annotations

import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, ClassVar, NamedTuple, TypeVar

from mminf.errors import RecordError
from mminf.recipe.config import SinkConfig
from mminf.record import Record
from mminf.registry import SINKS
from mminf.text import Expression, defuse

T = TypeVar("T")
_TAGS = re.compile(r"<(/?(?:image|video|audio|img|bbox|ref-object|start-image|cot-process)>)", re.IGNORECASE)


class Written(NamedTuple):
    """A dataset that was written.

    Attributes:
        left_out, example: records without what a row needs, and why the first of them was left out.
        before: rows of the file that it replaced; None if there was none.
    """

    path: str
    rows: int
    left_out: int
    example: str | None
    before: int | None


class Sink(ABC):
    """Writes one dataset file: JSON Lines, or a JSON array where the path ends in `.json`.

    Args:
        config: of the recipe.
        output: the run's output folder.
    """

    Config: ClassVar[type[SinkConfig]] = SinkConfig

    def __init__(self, config: Any, output: Path) -> None:
        self.config = config
        self.path = output / config.path
        self.where = Expression(config.where) if config.where is not None else None

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

    def check(self) -> None:
        """Raises RecipeError if the sink can't write, before anything runs."""

    def attach(self, vector: Callable[[str], bytes | None]) -> None:
        """Gives the sink what reads embeddings by the keys that `embed` wrote; most need none.

        Args:
            vector: returns the float32 bytes of a key, or None.
        """

    def write(self, records: Iterable[Record]) -> Written:
        """Writes the file and puts it in place by a rename; a record that lacks what a row needs is left out.

        Args:
            records: streamed from the journal; may be iterated over more than once.
        """
        rows, left_out, example = 0, 0, None
        before = count_rows(self.path)
        first, between, last = (b"[\n", b",\n", b"\n]\n") if self.path.suffix == ".json" else (b"", b"\n", b"\n")
        with replace_file(self.path) as file:
            file.write(first)
            for record in records:
                try:
                    if self.where is not None and not self.where.test(record.fields):
                        continue
                    row = self.row(record)
                except RecordError as error:
                    left_out += 1
                    example = example or f"record {record.id}: {error}"
                    continue
                if row is not None:
                    file.write(between if rows else b"")
                    file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace"))
                    rows += 1
            file.write(last if rows or first else b"")
        return Written(str(self.config.path), rows, left_out, example, before)


def sink(name: str) -> Callable[[type[T]], type[T]]:
    """Registers a sink class under the name that recipes use."""
    return SINKS.register(name)


def count_rows(path: Path) -> int | None:
    """Returns how many rows a dataset file has that a sink wrote, or None if it isn't there."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        lines = sum(1 for _ in file)
    return max(0, lines - 2) if path.suffix == ".json" else lines


@contextmanager
def replace_file(path: Path) -> Iterator[IO[bytes]]:
    """Opens a file that takes its name only when all of it is on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def plain_text(value: Any) -> str:
    """Returns a text for a chat turn; media tags, which trainers would count against the images, get a space."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _TAGS.sub(defuse, text)
