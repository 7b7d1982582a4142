"""Reads, decompresses and parses the bodies of HTTP answers, up to a limit."""

from __future__ import annotations

import json
import math
import zlib
from typing import Any

import orjson

from mminf.limits import Limit

_CHUNK = 1 << 16


class BrokenBodyError(ValueError):
    """A body that is too large, truncated, in an unknown encoding, or not JSON."""


async def read_body(response: Any, limit: Limit) -> bytes:
    """Returns the decompressed body of an aiohttp response that its session has not decompressed.

    Raises:
        BrokenBodyError: if it is larger than the limit, or can't be decompressed.
    """
    most = limit.value
    if _announced(response) <= most:
        whole: bytes = await response.read()  # the parser of HTTP takes no more bytes than announced
        return whole
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


def _announced(response: Any) -> float:
    """Returns the size of a plain body that its headers announce; infinity if they announce none.

    A body in chunks has no announced size, even if there is a Content-Length (RFC 9112, section 6.3).
    """
    headers = response.headers
    if "Content-Encoding" in headers or "Transfer-Encoding" in headers or response.content_length is None:
        return math.inf
    return float(response.content_length)


def parse_json(content: bytes) -> Any:
    """Parses the JSON of a body. NaN and infinities, which some servers send as log-probability, become floats.

    Raises:
        BrokenBodyError: if it is not JSON; the message says what it is.
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
            kinds = "HTML or XML, not JSON; it may come from a login page or a gateway"
            raise BrokenBodyError(f"the answer is {kinds}") from error
        shown = content[:80].decode("utf-8", "replace")
        raise BrokenBodyError(f"the answer is not JSON, or is truncated ({error}): {shown!r}") from error


def whole_number(value: Any) -> int:
    """Returns a token count, or 0 if the value is invalid: a valid answer must not fail because of its statistics."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return 0
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return 0
    return int(number) if math.isfinite(number) and 0 <= number < 2**53 else 0


class _Unpacker:
    """Decompresses gzip and deflate, up to a limit: a compressed megabyte may expand to a gigabyte."""

    def __init__(self, coding: str, most: int) -> None:
        if coding not in ("identity", "", "gzip", "x-gzip", "deflate"):
            raise BrokenBodyError(f"the answer has content encoding {coding[:40]!r}, which was not requested")
        self._zlib = None if coding in ("identity", "") else zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        self._most = most

    def __call__(self, chunk: bytes) -> bytes:
        if self._zlib is None:
            return chunk
        try:
            return self._zlib.decompress(chunk, self._most + 1)
        except zlib.error as error:
            raise BrokenBodyError(f"the answer can't be decompressed: {error}") from error

    def end(self) -> None:
        """Raises BrokenBodyError if the body is truncated."""
        if self._zlib is not None and not self._zlib.eof:
            raise BrokenBodyError("the answer is truncated: its compressed data are incomplete")
