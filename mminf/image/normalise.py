"""Normalises images for all backends: upright, RGB, 8 bit, transparency on white."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from mminf.image.wide import check_layout, scale_wide, wide_kind

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Normalised", "find_turn", "normalise", "scale_down", "share", "wide_kind"]

_ORIENTATION = 0x0112


class Normalised(NamedTuple):
    """Pixels of an image.

    Attributes:
        pixels: upright, RGB, 8 bit.
        changed: the file was rotated, mirrored or transparent.
    """

    pixels: Image.Image
    changed: bool


def normalise(image: Image.Image, reopen: Callable[[], Image.Image]) -> Normalised:
    """Returns the pixels of an opened image. Raises the errors of its decoder.

    Args:
        image: opened and not yet decoded.
        reopen: opens the image once more.
    """
    check_layout(image)
    if wide_kind(image) is None:
        rgb, transparent = _to_rgb(image)
    else:
        rgb, transparent = scale_wide(image, reopen), bool(image.has_transparency_data)
    turn = find_turn(image)  # after decoding: the TIFF decoder turns the image itself
    return Normalised(rgb if turn is None else rgb.transpose(turn), turn is not None or transparent)


def find_turn(image: Image.Image) -> Image.Transpose | None:
    """Returns the transposition to upright, by EXIF or XMP orientation; None if the image is upright."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return turns.get(image.getexif().get(_ORIENTATION, 1))


def _to_rgb(image: Image.Image) -> tuple[Image.Image, bool]:
    """Converts an image of 8 bits to RGB, with transparency on white. Returns whether any pixel is transparent."""
    from PIL import Image

    image.load()
    if not image.has_transparency_data:
        return (image if image.mode == "RGB" else image.convert("RGB")), False  # Pillow would copy it
    if image.mode == "La":  # Pillow converts premultiplied grey only to LA
        image = image.convert("LA")
    rgba = image.convert("RGBA")
    opacity = rgba.getchannel("A")
    white = Image.new("RGB", rgba.size, (255, 255, 255))
    white.paste(rgba, mask=opacity)
    return white, opacity.getextrema() != (255, 255)


def scale_down(image: Image.Image, max_pixels: int | None) -> Image.Image:
    """Returns an image of at most `max_pixels` pixels; method and size are those of ms-swift's `rescale_image`."""
    from PIL import Image as Pillow

    if max_pixels is None or image.width * image.height <= max_pixels:
        return image
    ratio = image.width / image.height
    height = math.sqrt(max_pixels / ratio)
    size = max(1, int(height * ratio)), max(1, int(height))
    return share(image.resize(size, Pillow.Resampling.BILINEAR))


@cache
def _shared_image() -> type[Image.Image]:
    from PIL import Image as Pillow

    class SharedImage(Pillow.Image):
        """An image for which copy.deepcopy returns the image itself.

        ms-swift deep-copies a request several times on its way to the model; nothing on the way writes into the
        pixels.
        """

        def __deepcopy__(self, memo: object) -> SharedImage:
            return self

    return SharedImage


def share(image: Image.Image) -> Image.Image:
    """Returns the image as one for which copy.deepcopy returns the image itself."""
    image.load()
    shared = _shared_image()()
    shared.__dict__.update(image.__dict__)
    return shared
