"""Writes rows as JSON."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import IO

from mminf.errors import shorten_text

log = logging.getLogger("mminf")
_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def write_lines(file: IO[bytes], rows: Iterable[Mapping[str, object]]) -> None:
    """Writes rows as JSON Lines."""
    for line in _json_lines(rows):
        file.write(line + b"\n")


def write_array(file: IO[bytes], rows: Iterable[Mapping[str, object]]) -> None:
    """Writes rows as one JSON array, one row per line."""
    file.write(b"[\n")
    for number, line in enumerate(_json_lines(rows)):
        file.write((b",\n" if number else b"") + line)
    file.write(b"\n]\n")


def _json_lines(rows: Iterable[Mapping[str, object]]) -> Iterator[bytes]:
    """Yields the JSON of rows. NaN and infinity, which JSON does not have, are null, and are told once."""
    told = False
    for row in rows:
        try:
            text = _ENCODE(row)
        except ValueError:
            text = _ENCODE(_finite(row))
            if not told:
                told = True
                log.warning("NaN or infinity, which JSON does not have, is written as null: %s", shorten_text(text))
        yield text.encode("utf-8", "replace")


def _finite(value: object) -> object:
    """Returns a value with null in place of NaN and infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
