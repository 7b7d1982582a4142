"""Samples of more than 8 bits (16-bit, 32-bit and float images) scaled to 8 bits.

Pillow takes the high byte of 16-bit colours and clips other wide samples at 255. Here they are scaled by the range of
their type, or by the minimum and maximum of the image if its values take less than a quarter of that range.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from mminf.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

Array: TypeAlias = "NDArray[Any]"

_SWAPPED = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_STRIP = 1 << 20  # samples per strip
_PHOTOMETRIC, _BITS, _PLANES, _SAMPLE_FORMAT = 262, 258, 284, 339  # tags of TIFF
_OPAQUE = 0xFFFF


@dataclass(frozen=True, slots=True)
class _Samples:
    """Wide samples of an image.

    Attributes:
        size: width and height.
        strips: yields arrays of (rows, width, channels); with `alpha` the last channel is opacity, 0 to 65535.
        span: lowest and highest value of the type.
        inverted: 0 is white.
    """

    size: tuple[int, int]
    strips: Callable[[], Iterator[Array]]
    span: tuple[float, float]
    alpha: bool = False
    inverted: bool = False


def wide_kind(image: Image.Image) -> str | None:
    """Returns the kind of samples of an opened, not yet decoded image; None for 8 bits and less."""
    if image.mode == "F":
        return "float"
    if image.mode == "I":
        return "32-bit"
    return "16-bit" if image.mode.startswith("I;16") or _low_rawmode(image) is not None else None


def check_layout(image: Image.Image) -> None:
    """Raises ImageError for an opened TIFF that Pillow misreads: 16-bit colours in separate planes."""
    tags = getattr(image, "tag_v2", {})
    planes = tags.get(_PLANES) == 2 and len(tags.get(_BITS) or ()) > 1
    if planes and tags[_BITS][0] > 8:
        raise ImageError("can't be decoded: a TIFF with 16-bit colours in separate planes")


def pick_span(low: float, high: float, span: tuple[float, float]) -> tuple[float, float]:
    """Returns the values that become black and white in an image with values from `low` to `high`.

    Args:
        span: the range of the type; it is used if the values are in it and take at least a quarter of it.
    """
    inside = span[0] <= low and high <= span[1]
    if inside and (low == high or high - low >= (span[1] - span[0]) / 4):
        return span
    return low, high


def scale_wide(image: Image.Image, reopen: Callable[[], Image.Image]) -> Image.Image:
    """Returns an image with wide samples as RGB of 8 bits, transparency on white.

    Args:
        image: opened and not yet decoded.
        reopen: opens it once more.

    Raises:
        ImageError: if no sample is a number.
    """
    import numpy as np
    from PIL import Image

    samples = _grey(image) if _low_rawmode(image) is None else _colour(image, reopen)
    low, high = pick_span(*_find_extremes(samples), samples.span)
    made: Array = np.empty((samples.size[1], samples.size[0], 3), np.uint8)
    top = 0
    for strip in samples.strips():
        made[top : top + len(strip)] = _scale(strip, low, high, samples)
        top += len(strip)
    return Image.fromarray(made)


def _scale(strip: Array, low: float, high: float, samples: _Samples) -> Array:
    import numpy as np

    colours = _colours(strip, samples).astype(np.float64)
    colours[~np.isfinite(colours)] = low
    scaled = (colours - low) * 255 / ((high - low) or 1)
    if samples.inverted:
        scaled = 255 - scaled
    if samples.alpha:
        opacity = strip[..., -1:].astype(np.float64) / _OPAQUE
        scaled = scaled * opacity + 255 * (1 - opacity)
    return np.floor(np.clip(scaled, 0, 255) + 0.5).astype(np.uint8)


def _find_extremes(samples: _Samples) -> tuple[float, float]:
    """Returns the lowest and the highest value that is finite and visible."""
    import numpy as np

    low, high, hidden = np.inf, -np.inf, False
    for strip in samples.strips():
        colours = _colours(strip, samples)
        if samples.alpha:
            visible = strip[..., -1] > 0
            hidden = hidden or not visible.all()
            colours = colours[visible]
        if colours.dtype.kind == "f":
            colours = colours[np.isfinite(colours)]
        if colours.size:
            low, high = min(low, float(colours.min())), max(high, float(colours.max()))
    if low > high and not hidden:
        raise ImageError("has no finite value")
    return (low, high) if low <= high else samples.span


def _colours(strip: Array, samples: _Samples) -> Array:
    return strip[..., :-1] if samples.alpha else strip


def _grey(image: Image.Image) -> _Samples:
    """Samples of modes I;16, I and F."""
    import numpy as np

    tags = getattr(image, "tag_v2", {})  # of TIFF
    span, unsigned = _span_of_type(image, tags)
    inverted = tags.get(_PHOTOMETRIC) == 0
    image.load()
    transparent = image.info.get("transparency")
    clear = None if image.mode == "F" or not isinstance(transparent, int) else (transparent,)

    def strips() -> Iterator[Array]:
        for box in _boxes(image.size, 1):
            values = np.asarray(image.crop(box))[..., None]
            yield _with_alpha(values.view(np.uint32) if unsigned else values, clear)

    return _Samples(image.size, strips, _signed_span(span, strips), clear is not None, inverted)


def _span_of_type(image: Image.Image, tags: Mapping[int, Any]) -> tuple[tuple[float, float], bool]:
    """Returns the range of the samples' type, and whether they are 32-bit unsigned, which Pillow reads as signed."""
    if image.mode == "F":
        return (0.0, 1.0), False
    if _rawmode(image) == "I;12":
        return (0, 2**12 - 1), False
    bits, signed = (tags.get(_BITS) or (16,))[0], (tags.get(_SAMPLE_FORMAT) or (1,))[0] == 2
    if image.mode == "I" and (signed or bits == 32):
        return ((-(2 ** (bits - 1)), 2 ** (bits - 1) - 1), False) if signed else ((0, 2**32 - 1), True)
    return (0, 2**16 - 1), False


def _signed_span(span: tuple[float, float], strips: Callable[[], Iterator[Array]]) -> tuple[float, float]:
    """Returns the range of signed samples; black is 0 if none is negative."""
    return (0, span[1]) if span[0] < 0 and all(int(strip.min()) >= 0 for strip in strips()) else span


def _colour(image: Image.Image, reopen: Callable[[], Image.Image]) -> _Samples:
    """Samples of 16-bit colours: two decodings, one takes each sample's high byte, the other its low byte."""
    import numpy as np

    packed = _rawmode(image) == "LA;16B"  # its four bytes are read as if they were RGBA
    lower = reopen()
    lower.tile = [tile._replace(args=_replace_rawmode(tile.args, _low_rawmode(image))) for tile in lower.tile]
    lower.load()
    if not packed:
        image.load()
    clear = image.info.get("transparency") if image.mode == "RGB" else None

    def strips() -> Iterator[Array]:
        for box in _boxes(lower.size, 4):
            low = np.asarray(lower.crop(box)).astype(np.uint16)
            if packed:
                yield np.stack([low[..., 0] << 8 | low[..., 1], low[..., 2] << 8 | low[..., 3]], -1)
            else:
                high = np.asarray(image.crop(box)).astype(np.uint16)
                yield _with_alpha(high << 8 | low, clear)

    return _Samples(lower.size, strips, (0, 2**16 - 1), image.mode == "RGBA" or clear is not None)


def _with_alpha(values: Array, clear: tuple[int, ...] | None) -> Array:
    """Adds a channel of opacity that is 0 where the samples are those of the transparent colour."""
    import numpy as np

    if clear is None:
        return values
    opacity = np.where((values == np.asarray(clear)).all(-1, keepdims=True), 0, _OPAQUE)
    return np.concatenate([values, opacity.astype(values.dtype)], -1)


def _boxes(size: tuple[int, int], channels: int) -> Iterator[tuple[int, int, int, int]]:
    width, height = size
    rows = max(1, _STRIP // (width * channels))
    for top in range(0, height, rows):
        yield 0, top, width, min(top + rows, height)


def _low_rawmode(image: Image.Image) -> str | None:
    """Returns the raw mode in which Pillow reads the low bytes of 16-bit colours; None for other images."""
    raw = _rawmode(image)
    if raw == "LA;16B":
        return "RGBA"
    name, _, order = raw.partition(";16")
    return f"{name};16{_SWAPPED[order]}" if name in ("RGB", "RGBA", "RGBX") and order in _SWAPPED else None


def _rawmode(image: Image.Image) -> str:
    """Returns how the samples are stored in an image that is not yet decoded."""
    args = image.tile[0].args if getattr(image, "tile", None) else None
    return str(args[0] if isinstance(args, tuple) else args)


def _replace_rawmode(args: object, raw: str | None) -> object:
    return (raw, *args[1:]) if isinstance(args, tuple) else raw
