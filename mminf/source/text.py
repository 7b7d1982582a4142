"""`text`: one record per line; `blank`: records without fields."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from mminf.recipe.config import SourceConfig
from mminf.record import Fields, Record
from mminf.shard import Shard
from mminf.source.base import BadRow, Numbered, Source, source
from mminf.source.formats import limited_lines, open_unpacked, too_long
from mminf.storage import Location, fingerprint_files


class TextConfig(SourceConfig):
    field: str = Field("text", description="Field for the line.")


@source("text")
class Text(Source):
    """A text file with one record per line. Empty lines are left out. A record's id is a digest of its line."""

    config: TextConfig
    Config: ClassVar[type[SourceConfig]] = TextConfig
    cuts = True

    def read(self, shard: Shard | None = None) -> Iterator[Record | BadRow]:
        numbered = Numbered("id", shard)
        with open_unpacked(self.path) as lines:
            for number, line in enumerate(limited_lines(lines), 1):
                where = f"{self.path.name}:{number}"
                if line is None:
                    yield from numbered.maybe_bad(where, f"{where} {too_long()}")
                    continue
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                except UnicodeDecodeError as error:
                    yield from numbered.maybe_bad(where, f"{where} is not UTF-8: {error}")
                    continue
                fields: Fields = {self.config.field: text}
                if text and (name := numbered.name(fields)) is not None:
                    yield numbered.record(name, fields)

    def fingerprint(self) -> str | None:
        return fingerprint_files([self.path])

    def count(self) -> int:
        with open_unpacked(self.path) as lines:
            return sum(1 for line in limited_lines(lines) if line is None or line.strip())


class BlankConfig(SourceConfig):
    shorthand: ClassVar[str | None] = "count"
    path: Location = Field(Path(), description="Not used.")
    count: int = Field(ge=1, description="Number of records.")


@source("blank")
class Blank(Source):
    """Records without fields, numbered from 0, for models that sample from nothing. Each record has its own seed."""

    config: BlankConfig
    Config: ClassVar[type[SourceConfig]] = BlankConfig
    cuts = True
    columns = frozenset()

    def read(self, shard: Shard | None = None) -> Iterator[Record | BadRow]:
        for number in range(self.config.count):
            if shard is None or shard.owns(str(number)):
                yield Record(str(number), {}, number)

    def count(self) -> int:
        return int(self.config.count)
