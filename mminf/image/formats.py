"""Accepted image formats: their names, extensions and first bytes."""

from __future__ import annotations

import os
import re
from functools import cache
from importlib.util import find_spec
from urllib.parse import urlsplit

HEIF_HINT = "install `pip install 'mminf[heic]'`"

_ENDINGS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tiff", ".tif"),
    "AVIF": (".avif",),
    # Data sets in Netpbm's formats are common (GTSRB), and the decoder is pure Python.
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "HEIF": (".heic", ".heif", ".hif"),
}
_MAGIC = (
    ("JPEG", b"\xff\xd8\xff"),
    ("PNG", b"\x89PNG\r\n\x1a\n"),
    ("GIF", b"GIF87a"),
    ("GIF", b"GIF89a"),
    ("TIFF", b"II*\0"),
    ("TIFF", b"MM\0*"),
    ("TIFF", b"II+\0"),
    ("TIFF", b"MM\0+"),
)
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1"}
)
_BMP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})
_NETPBM = re.compile(rb"P[1-6f][ \t\r\n\v\f]+[0-9#]")


@cache
def has_heif() -> bool:
    """Returns whether HEIC and HEIF files can be decoded: the extra `mminf[heic]` is installed."""
    return find_spec("pillow_heif") is not None


HEIF_SUFFIXES = frozenset(_ENDINGS["HEIF"])
ALL_SUFFIXES = frozenset(suffix for suffixes in _ENDINGS.values() for suffix in suffixes)
SUFFIXES = ALL_SUFFIXES if has_heif() else ALL_SUFFIXES - HEIF_SUFFIXES
"""Extensions of image files; the content of a file decides its format."""


def sniff(data: bytes) -> str | None:
    """Returns Pillow's name of an image's format, found by its first bytes; None for anything else."""
    for name, magic in _MAGIC:
        if data.startswith(magic):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return _sniff_heif(data)
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    return "PPM" if _NETPBM.match(data) else None


def _sniff_heif(data: bytes) -> str | None:
    """AVIF and HEIC share a container; a general major brand leaves it to the compatible brands."""
    major, size = data[8:12], min(int.from_bytes(data[:4], "big"), 256)
    if major in _AVIF_BRANDS:
        return "AVIF"
    if major not in _HEIF_BRANDS:
        return None
    brands = {data[at : at + 4] for at in range(16, size, 4)}
    return "AVIF" if major in (b"mif1", b"mif2", b"msf1") and brands & _AVIF_BRANDS else "HEIF"


def looks_like_image_bytes(data: bytes) -> bool:
    """Returns whether data begins as an image of an accepted format does."""
    return sniff(data) is not None


def image_ending(data: bytes) -> str:
    """Returns the usual extension of an image's format, without the dot; `jpg` for unknown content."""
    return _ENDINGS[sniff(data) or "JPEG"][0][1:]


def looks_like_image_name(text: str) -> bool:
    """Returns whether a text is a path or a URL that ends as an image does; a URL may have a query and a fragment."""
    if len(text) > 4096 or any(mark in text for mark in "\n\r\t\0") or text.startswith("data:"):
        return False
    if "://" in text:
        try:
            text = urlsplit(text).path
        except ValueError:
            return False
    return os.path.splitext(text)[1].lower() in ALL_SUFFIXES  # noqa: PTH122 (a URL's path is not a file's)
