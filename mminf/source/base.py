"""The base class of sources, which stream records."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import ClassVar, TypeVar

from mminf.errors import SourceError
from mminf.image import ImagePolicy, hub_blobs
from mminf.marks import Mark, read_marks
from mminf.recipe.config import SourceConfig
from mminf.record import Fields, Json, Record
from mminf.registry import SOURCES
from mminf.shard import Shard
from mminf.storage import is_pattern, is_remote, to_path

log = logging.getLogger("mminf")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that can't be converted to a record: a failed record with this reason."""

    id: str
    reason: str
    seq: int = 0


class Source(ABC):
    """Yields records in a fixed order.

    Attributes:
        columns: fields of every record if the type of source determines them, else None.
        cuts: whether `read` takes a shard, and skips the rows of other shards before it unpacks them. Otherwise `read`
            takes no argument, and the run skips these rows.
        gaps: whether `seq` increases with gaps instead of counting the rows from 0.

    Args:
        config: the source's settings in the recipe.
        base: folder that relative paths of the recipe start from.
        scratch: folder, or UPath, that images embedded in rows are written to, each once.
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
        """Raises SourceError if the input does not exist or can't be reached."""
        try:
            there = self.path.exists() or is_pattern(self.path)
        except OSError as error:
            raise SourceError(f"input {self.path} can't be reached: {error}") from error
        if not there:
            raise SourceError(f"input {self.path} does not exist; give one with --input")

    @abstractmethod
    def read(self, shard: Shard | None = None) -> Iterator[Record | BadRow]:
        """Yields the records, numbered by `seq` from 0, and the rows that are not records.

        Numbers count the rows of all shards, so that the results of several shards can be put in order.

        Args:
            shard: the shard whose records are yielded, if the class sets `cuts`; None: all records.
        """

    def count(self) -> int | None:
        """Returns the number of records, or None if counting would read the whole input."""
        return None

    def fingerprint(self) -> str | None:
        """Returns a text that changes if rows are added, removed or changed, or None if that is expensive to detect."""
        return str(self.count())

    def marks(self) -> dict[str, Mark] | None:
        """Returns the marks of the file that `marks` names, by the ids of records; None if it names none.

        Raises:
            UsageError: if the file can't be read, or a line of it is broken.
        """
        if self.config.marks is None:
            return None
        return read_marks(to_path(self.config.marks, self.base).expanduser())

    def policy(self) -> ImagePolicy:
        """Returns the policy for the images that rows name."""
        own = self.path if self.path.is_dir() else self.path.parent
        folders = [own, self.scratch, *(to_path(path, self.base) for path in self.config.allow_paths)]
        if self.image_root is not None:
            folders.append(self.image_root)
        local = [folder.expanduser().resolve() for folder in folders if not is_remote(folder)]
        # Files in a snapshot of the Hugging Face hub are links into its cache.
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
    """Assigns ids and numbers to records. Ids are unique, even if rows have the same id.

    Args:
        shard: rows of other shards are counted and skipped. None: no row is skipped.
    """

    def __init__(self, id_column: str, shard: Shard | None = None) -> None:
        self.id_column = id_column
        self._shard = shard
        self.seq = 0
        self._seen: set[bytes] = set()
        self._repeats = False

    def name(self, row: Mapping[str, object]) -> str | None:
        """Returns the name of a row: its id, or a digest of its content, which does not depend on the order of rows.

        Returns None for a row of another shard, and counts the row.
        """
        own = row.get(self.id_column)
        if own in (None, "") or isinstance(own, dict | list):
            own = content_digest(row)
        return self.wanted(clean_id(str(own)))

    def wanted(self, name: str) -> str | None:
        """Returns the name, or None for a row of another shard, which is counted."""
        if self._shard is None or self._shard.owns(name):
            return name
        self._next()
        return None

    def record(self, name: str, fields: Fields) -> Record:
        """Returns the record of a row of this shard."""
        return Record(self.unique(name), fields, self._next())

    def bad(self, name: str, reason: str) -> BadRow:
        """Returns a row of this shard that can't be converted to a record."""
        seq = self._next()
        return BadRow(self.unique(clean_id(name)), clean_id(reason), seq)

    def maybe_bad(self, name: str, reason: str) -> Iterator[BadRow]:
        """Yields a bad row without an id, if its place assigns it to this shard."""
        if self.wanted(clean_id(name)) is not None:
            yield self.bad(name, reason)

    def unique(self, name: str) -> str:
        """Returns the name, with the suffix `~2`, `~3`, ... if it was used before."""
        found, times = name, 1
        while (key := hashlib.blake2b(found.encode(), digest_size=8).digest()) in self._seen:
            times += 1
            found = f"{name}~{times}"
        self._seen.add(key)  # 8 bytes per id: a set of the ids would grow with their length
        if times > 1 and not self._repeats:
            self._repeats = True
            _tell_repeated(name, found)
        return found

    def _next(self) -> int:
        self.seq += 1
        return self.seq - 1


@lru_cache(maxsize=16)
def home_of(file: Path) -> Path:
    """Returns the folder of a file, with links resolved; cached, because it is called for every row."""
    return file.parent if is_remote(file) else file.parent.resolve()


def content_digest(row: object) -> str:
    """Returns a digest of a row's content, 16 hex digits; embedded bytes are replaced by their SHA-256."""

    def plain(value: object) -> object:
        return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else _plain(value)

    text = json.dumps(row, sort_keys=True, default=plain, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def clean_id(name: str) -> str:
    """Returns a name that can be stored as text: bytes that are not UTF-8 are escaped."""
    return name.encode("utf-8", "backslashreplace").decode()


def json_fields(row: Mapping[str, object]) -> Fields:
    """Returns a row as JSON values; dates become texts, and arrays become lists."""
    if (fields := _plain_fields(row)) is None:
        fields = load_json(_encode(row))  # type: ignore[assignment]
    assert isinstance(fields, dict)
    return fields


def _plain_fields(row: Mapping[str, object]) -> Fields | None:
    """Returns a copy of a row of plain values and lists of texts, as most are; None for any other."""
    fields: Fields = {}
    for key, value in row.items():
        kind = type(value)
        if kind is list and all(type(item) is str for item in value):  # type: ignore[attr-defined]
            value = list(value)  # type: ignore[call-overload]
        elif not (
            kind in _SCALARS
            or (kind is int and -_LARGE <= value < _LARGE)  # type: ignore[operator]
            or (kind is float and math.isfinite(value))  # type: ignore[arg-type]
        ):
            return None
        if type(key) is not str:
            return None
        fields[key] = value  # type: ignore[assignment]
    return fields


def load_json(text: str | bytes) -> Json:
    """Parses JSON; NaN and infinity, which JSON does not have, become null."""
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text), "surrogatepass")
    found: Json = _decode(text)
    return found


def _plain(value: object) -> object:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, bytes):
        raise TypeError("bytes")
    return str(value)


def _null(constant: str) -> None:
    _tell_null(constant)


@cache
def _tell_null(constant: str) -> None:
    """Tells once per process that values are changed."""
    log.info("the input contains %s, which JSON does not have: it is read as null", constant)


@cache
def _tell_repeated(name: str, suffixed: str) -> None:
    """Tells of the first repeated id of an input, once per process: the input may be read several times."""
    log.info("several rows have the id %s, or the same content: later ones get a suffix, as in %s", name, suffixed)


# Made once: json.dumps and json.loads make a new encoder or decoder for every call that sets an option.
_encode = json.JSONEncoder(default=_plain, ensure_ascii=False).encode
_decode = json.JSONDecoder(parse_constant=_null).decode
_SCALARS = frozenset({str, bool, type(None)})
_LARGE = 2**63
