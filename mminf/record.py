"""Records, their seeds, and canonical JSON for digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import orjson

from mminf.errors import MissingField, RecordError

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
"""A JSON value. Lists and objects are typed as read-only, so that a `list[str]` is a JSON value."""
Fields = dict[str, Json]
"""The fields of a record by name."""


@dataclass(slots=True)
class Record:
    """One row of a run.

    Attributes:
        id: the same in every run; ids of children are `parent/0`, `parent/1`.
        fields: JSON values by name; `images` is a list of paths or URIs, as in ms-swift.
        seq: position in the source, counted from 0.
        path: position among siblings, one number per fan-out.
        root: id of the source record that a child came from; empty for a source record.
    """

    id: str
    fields: Fields
    seq: int = 0
    path: tuple[int, ...] = field(default=())
    root: str = ""

    @property
    def origin(self) -> str:
        """The id of the source record that this one came from. It is unique in combination with `path`."""
        return self.root or self.id

    def __getitem__(self, name: str) -> Json:
        try:
            return self.fields[name]
        except KeyError:
            raise MissingField(
                f"record has no field {name!r}; it has: {', '.join(sorted(self.fields)) or 'none'}"
            ) from None

    def text(self, name: str) -> str:
        """Returns a field that is a text, or a number as text.

        Raises:
            MissingField: if the record has no such field.
            RecordError: if it is null, true, false, a list or an object, whose text in Python nobody has meant.
        """
        value = self[name]
        if isinstance(value, str):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        raise RecordError(f"field {name!r} is {_kind(value)}, not a text")

    def get(self, name: str, default: Json = None) -> Json:
        """Returns a field's value, or `default` if the record has no such field."""
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


def _kind(value: Json) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "an object" if isinstance(value, Mapping) else "a list"


# Made once: json.dumps makes a new encoder for every call that sets an option.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
_COMPACT = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
to_json = json.JSONEncoder(ensure_ascii=False).encode
"""Returns the JSON text of a value."""


def json_bytes(value: object, errors: str = "surrogatepass") -> bytes:
    """Returns the compact JSON of a value, UTF-8.

    Args:
        errors: how lone surrogates are encoded, as in `str.encode`.
    """
    try:
        return orjson.dumps(value)
    except TypeError:  # orjson supports neither lone surrogates nor integers over 64 bits
        return _COMPACT(value).encode("utf-8", errors)


def canonical_json(value: object) -> bytes:
    """Returns the canonical JSON of a value: sorted keys, no white space, UTF-8."""
    return _CANONICAL(value).encode("utf-8", "surrogatepass")


def digest(value: object) -> str:
    """Returns 32 hex digits of the BLAKE2b digest of a JSON value."""
    return hashlib.blake2b(canonical_json(value), digest_size=16).hexdigest()


def derive_seed(*parts: str | int) -> int:
    """Returns a seed in [0, 2**31) that depends only on the parts.

    It has 31 bits, because some servers parse a seed as a signed 32-bit integer.
    """
    text = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big") >> 1
