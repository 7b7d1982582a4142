"""Size and perceptual hash of an image, with as little decoding as possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mminf.image.decode import decode_image, opened
from mminf.image.normalise import find_turn
from mminf.image.policy import MAX_PIXELS

if TYPE_CHECKING:
    from PIL import Image

_SMALL = 128
"""Minimum side of a JPEG that is hashed. Its decoder scales while it decodes, which takes a fraction of the time."""


class Measured(NamedTuple):
    """Size of an image, upright as its EXIF orientation says, and its perceptual hash of 64 bits."""

    width: int
    height: int
    phash: int


def measure_image(data: bytes, uri: str, max_pixels: int = MAX_PIXELS) -> Measured:
    """Returns size and perceptual hash of an image. A JPEG is decoded at a reduced size.

    Args:
        uri: how the image is named in errors.
        max_pixels: images with more are refused.

    Raises:
        ImageError: as `decode_image`.
    """
    with opened(data, uri, max_pixels) as image:
        if image.format in ("JPEG", "MPO") and image.mode in ("L", "RGB"):
            width, height = image.size
            turn = find_turn(image)
            image.draft("L", (_SMALL, _SMALL))
            small = image.convert("L")
            if turn is not None:
                small = small.transpose(turn)
            return Measured(*((height, width) if _is_on_side(turn) else (width, height)), _phash(small))
    pixels = decode_image(data, uri, max_pixels).pixels
    return Measured(pixels.width, pixels.height, _phash(pixels))


def _is_on_side(turn: Image.Transpose | None) -> bool:
    """Returns whether a transposition exchanges width and height."""
    from PIL.Image import Transpose

    return turn in (Transpose.ROTATE_90, Transpose.ROTATE_270, Transpose.TRANSPOSE, Transpose.TRANSVERSE)


def _phash(image: Image.Image) -> int:
    import imagehash

    return int(str(imagehash.phash(image)), 16)
