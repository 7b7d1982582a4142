"""Image files of kinds that Pillow does not write."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

ORIENTATION = 0x0112
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM")
_TIFF_TYPES = {"u": 1, "i": 2, "f": 3}


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    """Returns an image's file."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def drawn(mode: str = "RGB", size: tuple[int, int] = (6, 4), seed: int = 0) -> Image.Image:
    """Returns an image of random samples."""
    random = np.random.default_rng(seed)
    if mode in ("I", "F") or mode.startswith("I;16"):
        values = random.integers(0, 65536, size[::-1])
        if mode == "F":
            return Image.fromarray((values / 65535).astype(np.float32))
        return Image.fromarray(values.astype({"I": "<i4", "I;16B": ">u2"}.get(mode, "<u2")))
    if mode == "1":
        return Image.fromarray(random.integers(0, 2, size[::-1]).astype(bool))
    image = Image.fromarray(random.integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
    if mode in ("P", "PA"):
        image = image.quantize(16)
    if mode in ("LA", "RGBA", "PA", "RGBa"):
        image = image.convert("LA" if mode == "LA" else "PA" if mode == "PA" else "RGBA")
        image.putalpha(Image.fromarray(random.integers(0, 256, size[::-1], dtype=np.uint8)))
    return image.convert(mode)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16(values: Any, transparent: tuple[int, ...] | None = None, orientation: int | None = None) -> bytes:
    """Returns a PNG of 16 bits per sample: an array of (height, width, 1 to 4 channels)."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    chunks = [_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))]
    if transparent is not None:
        chunks.append(_chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)))
    if orientation is not None:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        chunks.append(_chunk(b"eXIf", exif.tobytes()[6:]))
    chunks += [_chunk(b"IDAT", zlib.compress(rows)), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def tiff(
    values: Any, *, order: str = "<", packed: bool = False, photometric: int | None = None, extra: int | None = None,
    orientation: int = 1, planes: int = 1,
) -> bytes:  # fmt: skip
    """Returns a TIFF of one strip, or one per channel (`planes=2`): an array of (height, width, channels) in its own type."""
    height, width, channels = values.shape
    parts = [values] if planes == 1 else [values[..., n] for n in range(channels)]
    strips = [part.astype(values.dtype.newbyteorder(order)).tobytes() for part in parts]
    strips = [zlib.compress(strip) for strip in strips] if packed else strips
    bits = values.dtype.itemsize * 8
    if photometric is None:
        photometric = 2 if channels >= 3 else 1
    longs = [(256, width), (257, height), (259, 8 if packed else 1), (262, photometric), (274, orientation)]
    longs += [(277, channels), (278, height), (284, planes)]
    entries = {tag: struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in longs}
    if extra is not None:
        entries[338] = struct.pack(f"{order}HHIHH", 338, 3, 1, extra, 0)
    count = len(entries) + 4
    end = 8 + 2 + 12 * count + 4
    tables = b""
    for tag, value in ((258, bits), (339, _TIFF_TYPES[values.dtype.kind])):
        table = struct.pack(f"{order}{channels}H", *[value] * channels)
        if len(table) <= 4:
            entries[tag] = struct.pack(f"{order}HHI", tag, 3, channels) + table.ljust(4, b"\0")
        else:
            entries[tag] = struct.pack(f"{order}HHII", tag, 3, channels, end + len(tables))
            tables += table
    start = end + len(tables) + (8 * len(strips) if len(strips) > 1 else 0)
    offsets = [start + sum(map(len, strips[:n])) for n in range(len(strips))]
    for tag, numbers in ((273, offsets), (279, [len(strip) for strip in strips])):
        table = struct.pack(f"{order}{len(numbers)}I", *numbers)
        value = table if len(numbers) == 1 else struct.pack(f"{order}I", end + len(tables))
        entries[tag] = struct.pack(f"{order}HHI", tag, 4, len(numbers)) + value
        tables += table if len(numbers) > 1 else b""
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    directory = struct.pack(f"{order}H", count) + b"".join(entries[tag] for tag in sorted(entries)) + b"\0" * 4
    return head + directory + tables + b"".join(strips)


def gradient(low: float, high: float, dtype: Any, size: tuple[int, int] = (16, 8)) -> Any:
    """Returns an array of (height, width, 1) whose values go evenly from low to high."""
    width, height = size
    return np.linspace(low, high, width * height).reshape(height, width, 1).astype(dtype)
