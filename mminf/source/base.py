"""The source: where records come from, streamed."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, TypeVar

from mminf.errors import SourceError
from mminf.image import ImagePolicy, hub_blobs
from mminf.recipe.config import SourceConfig
from mminf.record import Fields, Json, Record
from mminf.registry import SOURCES
from mminf.shard import Shard
from mminf.storage import is_pattern, is_remote, to_path

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is no record; it fails alone, with this reason."""

    id: str
    reason: str
    seq: int = 0


class Source(ABC):
    """Yields records in a fixed order.

    Attributes:
        columns: of every record, where the kind of source alone decides that.
        cuts: `read` takes a shard, and leaves out the rows of others before it unpacks them; else `read` takes no
            argument, and the run leaves them out.
        gaps: numbers grow, but are not those of the rows counted from 0.

    Args:
        config: of the recipe.
        base: folder that relative paths of the recipe start from.
        scratch: folder, or UPath, for images that come embedded in rows; they are written there once.
    """

    Config: ClassVar[type[SourceConfig]] = SourceConfig
    columns: ClassVar[frozenset[str] | None] = None
    cuts: ClassVar[bool] = False
    gaps: ClassVar[bool] = False

    def __init__(self, config: SourceConfig, base: Path, scratch: Path) -> None:
        self.config = config
        self.base = base
        self.scratch = scratch
        self.path = to_path(config.path, base).expanduser()
        root = config.image_root
        self.image_root = None if root is None else to_path(root, base).expanduser()

    def check(self) -> None:
        """Raises SourceError if there is nothing to read."""
        try:
            there = self.path.exists() or is_pattern(self.path)
        except OSError as error:
            raise SourceError(f"input {self.path} can't be reached: {error}") from error
        if not there:
            raise SourceError(f"input {self.path} is not there; give one with --input")

    @abstractmethod
    def read(self, shard: Shard | None = None) -> Iterator[Record | BadRow]:
        """Yields the records, numbered by `seq` from 0, and the rows that are not records.

        Numbers count the rows of all shards, so that the results of several shards can be put in order.

        Args:
            shard: only its records, where the class says `cuts`; None: all.
        """

    def count(self) -> int | None:
        """Returns how many records there are, or None where counting would mean reading everything."""
        return None

    def fingerprint(self) -> str | None:
        """Returns what changes when rows are added, removed or changed, as far as that can be told cheaply, or None."""
        return str(self.count())

    def policy(self) -> ImagePolicy:
        """Returns which images the rows may name."""
        own = self.path if self.path.is_dir() else self.path.parent
        folders = [own, self.scratch, *(to_path(path, self.base) for path in self.config.allow_paths)]
        if self.image_root is not None:
            folders.append(self.image_root)
        local = [folder.expanduser().resolve() for folder in folders if not is_remote(folder)]
        # The files of a hub's snapshot are links to what is in its cache.
        local += [blobs for folder in local if (blobs := hub_blobs(folder)) is not None]
        return ImagePolicy(
            roots=None if self.config.allow_any_path else tuple(local),
            prefixes=tuple(f"{str(folder).rstrip('/')}/" for folder in folders if is_remote(folder)),
            hosts=frozenset(self.config.allow_hosts),
            max_pixels=self.config.max_image_pixels,
        )


def source(name: str) -> Callable[[type[T]], type[T]]:
    """Registers a source class under the name that recipes use."""
    return SOURCES.register(name)


class Numbered:
    """Gives records their ids and numbers: each id once, whatever the rows say.

    Args:
        shard: whose rows are wanted; those of others are counted and left out. None: all.
    """

    def __init__(self, id_column: str, shard: Shard | None = None) -> None:
        self.id_column = id_column
        self._shard = shard
        self.seq = 0
        self._seen: set[bytes] = set()

    def name(self, row: Mapping[str, object]) -> str | None:
        """Returns the name of a row: its own id, else a digest of its content, so that order doesn't matter.

        None, and the row is counted, if it belongs to another shard.
        """
        own = row.get(self.id_column)
        if own in (None, "") or isinstance(own, dict | list):
            own = content_digest(row)
        return self.wanted(clean_id(str(own)))

    def wanted(self, name: str) -> str | None:
        """Returns the name, or None, and the row is counted, if it belongs to another shard."""
        if self._shard is None or self._shard.owns(name):
            return name
        self._next()
        return None

    def record(self, name: str, fields: Fields) -> Record:
        """Returns the record of a row that is wanted."""
        return Record(self.unique(name), fields, self._next())

    def bad(self, name: str, reason: str) -> BadRow:
        """Returns a row of which no record can be made, and that is wanted."""
        seq = self._next()
        return BadRow(self.unique(clean_id(name)), clean_id(reason), seq)

    def maybe_bad(self, name: str, reason: str) -> Iterator[BadRow]:
        """Yields a row that can't even be named, if it belongs to this shard by its place."""
        if self.wanted(clean_id(name)) is not None:
            yield self.bad(name, reason)

    def unique(self, name: str) -> str:
        """Returns the name, with `~2`, `~3` behind it where it was there before."""
        found, times = name, 1
        while (key := hashlib.blake2b(found.encode(), digest_size=8).digest()) in self._seen:
            times += 1
            found = f"{name}~{times}"
        self._seen.add(key)  # 8 bytes an id: a set of the ids themselves would grow with their length
        return found

    def _next(self) -> int:
        self.seq += 1
        return self.seq - 1


@lru_cache(maxsize=16)
def home_of(file: Path) -> Path:
    """Returns the folder that a file really lies in; asked for every row, so it is remembered."""
    return file.parent if is_remote(file) else file.parent.resolve()


def content_digest(row: object) -> str:
    """Returns 16 hex digits that depend on a row's content alone; embedded bytes count by their own digest."""

    def plain(value: object) -> object:
        return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else _plain(value)

    text = json.dumps(row, sort_keys=True, default=plain, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def clean_id(name: str) -> str:
    """Returns a name that can be stored as text: bytes of file names that are no UTF-8 are escaped."""
    return name.encode("utf-8", "backslashreplace").decode()


def json_fields(row: Mapping[str, object]) -> Fields:
    """Returns a row as JSON values; what JSON has no word for (dates, arrays) becomes text or lists."""
    fields = load_json(json.dumps(row, default=_plain, ensure_ascii=False))
    assert isinstance(fields, dict)
    return fields


def load_json(text: str | bytes) -> Json:
    """Reads JSON; NaN and infinities, which JSON doesn't have, become null."""
    found: Json = json.loads(text, parse_constant=lambda _: None)
    return found


def _plain(value: object) -> object:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, bytes):
        raise TypeError("bytes")
    return str(value)
