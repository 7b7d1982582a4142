"""Records, their seeds, and the canonical bytes that digests are taken of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import orjson

from mminf.errors import MissingField

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
"""A JSON value. Its lists and objects are typed as read-only, so that a `list[str]` is one."""
Fields = dict[str, Json]
"""The fields of a record by name."""


@dataclass(slots=True)
class Record:
    """One row under way.

    Attributes:
        id: stable over runs; a child's is `parent/0`, `parent/1`.
        fields: JSON values by name; `images` is a list of paths or URIs, as in ms-swift.
        seq: position in the source, counted from 0.
        path: position among siblings, one number a fan-out.
        root: id of the source record that a child came from; empty for a source record.
    """

    id: str
    fields: Fields
    seq: int = 0
    path: tuple[int, ...] = field(default=())
    root: str = ""

    @property
    def origin(self) -> str:
        """The id of the source record that this one came from; with `path` it is unique, whatever ids look like."""
        return self.root or self.id

    def __getitem__(self, name: str) -> Json:
        try:
            return self.fields[name]
        except KeyError:
            raise MissingField(
                f"record has no field {name!r}; it has: {', '.join(sorted(self.fields)) or 'none'}"
            ) from None

    def get(self, name: str, default: Json = None) -> Json:
        """Returns a field's value, or `default` where the record has no such field."""
        return self.fields.get(name, default)

    def child(self, number: int, fields: Fields) -> Record:
        """Returns child `number`: this record's fields, overlaid with `fields`."""
        return Record(
            id=f"{self.id}/{number}",
            fields={**self.fields, **fields},
            seq=self.seq,
            path=(*self.path, number),
            root=self.origin,
        )


# Made once: json.dumps makes a new encoder for every call that sets an option.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
_COMPACT = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
to_json = json.JSONEncoder(ensure_ascii=False).encode
"""Returns the JSON text of a value."""


def json_bytes(value: object, errors: str = "surrogatepass") -> bytes:
    """Returns the compact JSON of a value, UTF-8.

    Args:
        errors: what becomes of lone surrogates, as in `str.encode`.
    """
    try:
        return orjson.dumps(value)
    except TypeError:  # orjson takes neither lone surrogates nor integers over 64 bits
        return _COMPACT(value).encode("utf-8", errors)


def canonical_json(value: object) -> bytes:
    """Returns the one JSON text of a value: sorted keys, no white space, UTF-8."""
    return _CANONICAL(value).encode("utf-8", "surrogatepass")


def digest(value: object) -> str:
    """Returns 32 hex digits of the BLAKE2b digest of a JSON value."""
    return hashlib.blake2b(canonical_json(value), digest_size=16).hexdigest()


def derive_seed(*parts: str | int) -> int:
    """Returns a seed in [0, 2**31) that depends on the parts and nothing else.

    31 bits, since some servers read a seed as a signed 32-bit integer.
    """
    text = "\x1f".join(str(part) for part in parts).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big") >> 1
