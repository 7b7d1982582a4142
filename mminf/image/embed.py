"""Images that are encoded as text: `data:` URIs and bare base64."""

from __future__ import annotations

import base64
import re
from urllib.parse import unquote_to_bytes

from mminf.errors import ImageError, shorten_text
from mminf.image.formats import looks_like_image_bytes

_ALPHABET = re.compile(r"[A-Za-z0-9+/_\-]+={0,2}")
_SPACE = re.compile(r"[\r\n\t]+")  # prose has spaces, wrapped base64 has none
_TO_STANDARD = str.maketrans("-_", "+/")
_SHORTEST = 32  # characters; no image is smaller
_NAME_MAX = 255  # characters of a file name
_PATH_MAX = 4096  # characters of a path
_HEAD = 44  # characters that show the format


def is_data_uri(text: str) -> bool:
    """Returns whether a text is a `data:` URI."""
    return text[:5].lower() == "data:"


def embedded_bytes(text: str, max_bytes: int) -> bytes | None:
    """Returns the image that a text contains as a `data:` URI or as base64; None if the text is a path or a URL.

    Raises:
        ImageError: if the text is a `data:` URI, or can only be base64, and is broken, too large or not an image.
    """
    if is_data_uri(text):
        return _checked(_data_uri_bytes(text, max_bytes), text)
    if len(text) < _SHORTEST or "://" in text[:32]:
        return None
    begins = _begins_as_image(text)
    compact = _SPACE.sub("", text.strip())
    if _ALPHABET.fullmatch(compact) is None:
        if begins and len(text) > _NAME_MAX:
            raise ImageError(f"image {shorten_text(text, 60)!r}: base64 with characters that are not base64")
        return None
    if not begins:
        if _is_no_path(text):
            raise ImageError(f"image {shorten_text(text, 60)!r}: base64 that is not an image")
        return None
    return _decode(compact, text, max_bytes)


def _begins_as_image(text: str) -> bool:
    head = _SPACE.sub("", text[: 2 * _HEAD].strip())[:_HEAD].rstrip("=")
    head = head[: len(head) // 4 * 4]
    if _ALPHABET.fullmatch(head) is None:
        return False
    return looks_like_image_bytes(base64.b64decode(head.translate(_TO_STANDARD)))


def _is_no_path(text: str) -> bool:
    return len(text) > _PATH_MAX or max(map(len, text.split("/"))) > _NAME_MAX


def _data_uri_bytes(text: str, max_bytes: int) -> bytes:
    header, comma, body = text.partition(",")
    if not comma:
        raise ImageError(f"image {shorten_text(text, 60)!r}: a data: URI without a comma")
    if not header.rstrip().lower().endswith(";base64"):
        _check_size(text, len(body) // 3, max_bytes)
        data = unquote_to_bytes(body.encode("utf-8", "replace"))
        _check_size(text, len(data), max_bytes)
        return data
    if "%" in body:
        body = unquote_to_bytes(body.encode("utf-8", "replace")).decode("ascii", "replace")
    compact = _SPACE.sub("", body.strip())
    if compact and _ALPHABET.fullmatch(compact) is None:
        raise ImageError(f"image {shorten_text(text, 60)!r}: not base64")
    return _decode(compact, text, max_bytes)


def _decode(compact: str, text: str, max_bytes: int) -> bytes:
    """Decodes base64 in either alphabet, with or without padding."""
    bare = compact.rstrip("=")
    _check_size(text, len(bare) * 3 // 4, max_bytes)
    try:
        return base64.b64decode(bare.translate(_TO_STANDARD) + "=" * (-len(bare) % 4), validate=True)
    except ValueError as error:
        raise ImageError(f"image {shorten_text(text, 60)!r}: broken base64 ({error})") from error


def _check_size(text: str, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise ImageError(f"image {shorten_text(text, 60)!r} has {size:,} bytes; at most {max_bytes:,} are allowed")


def _checked(data: bytes, text: str) -> bytes:
    if not data:
        raise ImageError(f"image {shorten_text(text, 60)!r} is empty")
    if not looks_like_image_bytes(data):
        raise ImageError(f"image {shorten_text(text, 60)!r}: its content is not an image of a known format")
    return data
