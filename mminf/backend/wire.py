"""Bodies of HTTP answers: read up to a limit, unpacked up to it, parsed without surprises."""

from __future__ import annotations

import json
import math
import zlib
from typing import Any

import orjson

from mminf.limits import Limit

_CHUNK = 1 << 16


class BrokenBodyError(ValueError):
    """A body that is too large, cut off, packed in an unknown way, or no JSON."""


async def read_body(response: Any, limit: Limit) -> bytes:
    """Returns the unpacked body of an aiohttp response that was not unpacked by its session.

    Raises:
        BrokenBodyError: if it is larger than the limit, or can't be unpacked.
    """
    most = limit.value
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    unpack = _Unpacker(coding, most)
    parts: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_chunked(_CHUNK):
        data = unpack(chunk)
        size += len(data)
        if size > most:
            raise BrokenBodyError(f"the answer is too large: {limit}")
        parts.append(data)
    unpack.end()
    return b"".join(parts)


def parse_json(content: bytes) -> Any:
    """Returns a body's JSON; NaN and infinities, which some servers write as log-probability, are floats.

    Raises:
        BrokenBodyError: saying what it is instead.
    """
    try:
        return orjson.loads(content)
    except ValueError as error:
        if b"NaN" in content or b"Infinity" in content:
            try:
                return json.loads(content)
            except (ValueError, RecursionError):
                pass
        start = content[:200].lstrip().lower()
        if not start:
            raise BrokenBodyError("the answer is empty") from error
        if start.startswith(b"<"):
            raise BrokenBodyError("the answer is HTML or XML, not JSON, as from a login page or a gateway") from error
        shown = content[:80].decode("utf-8", "replace")
        raise BrokenBodyError(f"the answer is not JSON, or is cut off ({error}): {shown!r}") from error


def whole_number(value: Any) -> int:
    """Returns a token count; 0 for anything that is none, since a good answer must not fail for its statistics."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return 0
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return 0
    return int(number) if math.isfinite(number) and 0 <= number < 2**53 else 0


class _Unpacker:
    """Unpacks gzip and deflate, never more than a limit at once: a packed megabyte may be a gigabyte."""

    def __init__(self, coding: str, most: int) -> None:
        if coding not in ("identity", "", "gzip", "x-gzip", "deflate"):
            raise BrokenBodyError(f"the answer is packed as {coding[:40]!r}, which was not asked for")
        self._zlib = None if coding in ("identity", "") else zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        self._most = most

    def __call__(self, chunk: bytes) -> bytes:
        if self._zlib is None:
            return chunk
        try:
            return self._zlib.decompress(chunk, self._most + 1)
        except zlib.error as error:
            raise BrokenBodyError(f"the answer can't be unpacked: {error}") from error

    def end(self) -> None:
        """Raises BrokenBodyError if the body was cut off."""
        if self._zlib is not None and not self._zlib.eof:
            raise BrokenBodyError("the answer is cut off: its packed data have no end")
