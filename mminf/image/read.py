"""Reads the bytes of an image."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from mminf.errors import ImageError, UsageError, reason_of, shorten_text
from mminf.image.embed import embedded_bytes
from mminf.image.policy import ImagePolicy, check_allowed, is_url, local_path
from mminf.storage import read_object


def read_image(uri: str, policy: ImagePolicy) -> bytes:
    """Returns an image file's bytes.

    Args:
        uri: a path, a URI that fsspec reads, an http(s) URL, a `data:` URI or bare base64.

    Raises:
        ImageError: if it is missing, empty, too large or not allowed.
    """
    if (data := embedded_bytes(uri, policy.max_bytes)) is not None:
        return data
    check_allowed(uri, policy)
    return read_allowed(uri, policy)


def read_allowed(uri: str, policy: ImagePolicy) -> bytes:
    """Returns the bytes of an image at a URI that the policy has been asked about. Raises ImageError."""
    try:
        data = _read(uri, policy)
    except FileNotFoundError as error:
        raise ImageError(f"image {shorten_text(uri)!r} does not exist") from error
    except (OSError, ValueError, UsageError) as error:
        reason = reason_of(error)
        raise ImageError(f"image {shorten_text(uri)!r} can't be read: {shorten_text(reason, 140)}") from error
    if not data:
        raise ImageError(f"image {shorten_text(uri)!r} is empty")
    if len(data) > policy.max_bytes:
        raise ImageError(f"image {shorten_text(uri)!r} has more than {policy.max_bytes:,} bytes (limit image_bytes)")
    return data


def _read(uri: str, policy: ImagePolicy) -> bytes:
    """Returns at most one byte more than is allowed."""
    if is_url(uri):
        from mminf.image.fetch import fetch

        return fetch(uri, policy)
    path = local_path(uri)
    return read_object(uri, policy.max_bytes + 1) if path is None else _read_file(path, uri, policy.max_bytes)


def _read_file(path: str, uri: str, max_bytes: int) -> bytes:
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise ImageError(f"image {shorten_text(uri)!r} is not a regular file")
    if found.st_size > max_bytes:
        raise ImageError(
            f"image {shorten_text(uri)!r} has {found.st_size:,} bytes; at most {max_bytes:,} are allowed "
            "(limit image_bytes)"
        )
    with Path(path).open("rb") as file:
        return file.read(max_bytes + 1)
