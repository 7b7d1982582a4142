"""Identity of images: a digest of the content, and size and modification time of the file."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import NamedTuple

from mminf.errors import ImageError, UsageError
from mminf.image.decode import is_wide, may_be_wide
from mminf.image.policy import is_url, local_path
from mminf.storage import info_token, object_info

_HEAD = 32  # bytes that show the format
# Earlier versions clipped samples of more than 8 bits. The prefix makes their digests and answers invalid.
_VERSION = "2:"


class ImageStat(NamedTuple):
    """A cheap check whether a file is unchanged: URI, size in bytes, modification time in ns.

    The URI has a prefix if an earlier version may have decoded the file to other pixels.
    """

    uri: str
    size: int
    mtime_ns: int


def image_digest(data: bytes) -> str:
    """Returns 64 hex digits that depend on a file's content: SHA-256 of its bytes.

    Images with more than 8 bits per sample have a different digest, because earlier versions decoded other pixels.
    """
    found = hashlib.sha256(data).hexdigest()
    return hashlib.sha256(f"{_VERSION}{found}".encode()).hexdigest() if is_wide(data) else found


def stat_image(uri: str) -> ImageStat | None:
    """Returns size and modification time of a local image; None for a URL or a missing file."""
    try:
        path = local_path(uri)
        if path is None:
            return None
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for its writer
            return None
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (called for every image of a run)
            wide = may_be_wide(file.read(_HEAD))
    except (OSError, ValueError):
        return None
    return ImageStat(f"{_VERSION}{uri}" if wide else uri, found.st_size, found.st_mtime_ns)


def stat_object(uri: str) -> ImageStat | None:
    """Returns the same for an object behind a URI, with the ETag or a similar value of its store; one request."""
    if is_url(uri):
        return None
    try:
        info = object_info(uri)
    except (OSError, ValueError, UsageError, ImageError):
        return None
    size = info.get("size")
    return ImageStat(f"{_VERSION}{uri}", size if isinstance(size, int) else 0, info_token(info))
