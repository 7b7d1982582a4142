"""Decodes image files, with an explicit list of decoders and with limits."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from mminf.errors import ImageError, shorten_text
from mminf.image.formats import HEIF_HINT, has_heif, sniff
from mminf.image.normalise import normalise, share, wide_kind
from mminf.image.policy import MAX_PIXELS

if TYPE_CHECKING:
    from PIL import Image

# Only these are loaded, and the content of a file selects the one that is run. Pillow has more than 40 formats, some
# of which start programs (EPS: Ghostscript). The JPEG decoder also reads MPO.
_DECODERS = {
    "JPEG": "PIL.JpegImagePlugin",
    "PNG": "PIL.PngImagePlugin",
    "WEBP": "PIL.WebPImagePlugin",
    "GIF": "PIL.GifImagePlugin",
    "BMP": "PIL.BmpImagePlugin",
    "TIFF": "PIL.TiffImagePlugin",
    "AVIF": "PIL.AvifImagePlugin",
    "PPM": "PIL.PpmImagePlugin",
}
_SENDABLE = frozenset({"JPEG", "PNG", "WEBP"})


class Decoded(NamedTuple):
    """An image that was decoded.

    Attributes:
        pixels: upright, RGB, 8 bit, without transparency.
        mime: type of the file.
        plain: the file is JPEG, PNG or WebP, and any decoder gives the same pixels.
        scaled: the kind of samples that were scaled to 8 bits; None if the file has 8 bits.
        changed: the file has an orientation, or is transparent, so that readers that ignore this see other pixels.
    """

    pixels: Image.Image
    mime: str
    plain: bool = False
    scaled: str | None = None
    changed: bool = False


def decode_image(data: bytes, uri: str, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Returns the image as RGB with 8 bits, upright as its EXIF orientation says, transparency on white.

    Args:
        uri: how the image is named in errors.
        max_pixels: images with more are refused before they are decoded.

    Raises:
        ImageError: if it is not an image, is broken or truncated, or has more than `max_pixels` pixels.
    """
    from PIL import Image

    with opened(data, uri, max_pixels) as image:
        mode, kind = image.mode, wide_kind(image)
        found = normalise(image, lambda: _open(data, _find_decoder(data, uri)))
        unchanged = not (found.changed or image.has_transparency_data)
        plain = mode == "RGB" and kind is None and unchanged and _is_sendable(image)
        return Decoded(share(found.pixels), Image.MIME.get(image.format or "", "image/png"), plain, kind, found.changed)


def as_seen(data: bytes, uri: str) -> bytes:
    """Returns an image's file, or a PNG of what models see, if other readers would see other pixels.

    Args:
        uri: how the image is named in errors.

    Raises:
        ImageError: as `decode_image`.
    """
    found = decode_image(data, uri)
    return to_png(found.pixels) if found.changed or found.scaled is not None else data


def to_png(image: Image.Image) -> bytes:
    """Returns a PNG file of an image."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)  # a third of the default's time, and a few percent larger
    return file.getvalue()


@contextlib.contextmanager
def opened(data: bytes, uri: str, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Opens an image; its header is read, its pixels are not decoded yet. Errors in the block become ImageErrors.

    Args:
        uri: how the image is named in errors.
        max_pixels: images with more are refused.

    Raises:
        ImageError: as `decode_image`.
    """
    from PIL import Image, UnidentifiedImageError

    name = _find_decoder(data, uri)
    try:
        with _open(data, name) as image:
            _check_size(image.size, max_pixels)
            yield image
    except ImageError as error:
        raise ImageError(f"image {shorten_text(uri)!r} {error}") from error
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"image {shorten_text(uri)!r} {_too_large('more pixels than Pillow decodes', max_pixels)}"
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError(f"image {shorten_text(uri)!r} can't be decoded: it is not a valid {name} file") from error
    # Pillow's decoders raise nearly anything on broken files, SyntaxError and struct.error among them.
    except Exception as error:
        reason = shorten_text(str(error) or type(error).__name__, 140)
        raise ImageError(f"image {shorten_text(uri)!r} can't be decoded: {reason}") from error


def is_wide(data: bytes) -> bool:
    """Returns whether an image has more than 8 bits per sample, by its header."""
    if not may_be_wide(data):
        return False
    name = sniff(data)
    if name == "PNG":
        return True
    try:
        with _open(data, name or "") as image:
            return wide_kind(image) is not None
    except Exception:  # a broken image; decoding reports it
        return False


def may_be_wide(head: bytes) -> bool:
    """Returns whether a file, by its first 32 bytes, may have more than 8 bits per sample."""
    name = sniff(head)
    return head[24:25] == b"\x10" if name == "PNG" else name in ("TIFF", "PPM")


def _find_decoder(data: bytes, uri: str) -> str:
    from PIL import Image

    name = sniff(data)
    if name is None:
        raise ImageError(f"image {shorten_text(uri)!r} can't be decoded: not an image, or in an unsupported format")
    _load_decoders()
    if name == "HEIF" and not (has_heif() and name in Image.OPEN):
        raise ImageError(f"image {shorten_text(uri)!r} can't be decoded: it is HEIC; {HEIF_HINT}")
    if name == "AVIF":
        from PIL import features

        if not features.check("avif"):
            raise ImageError(
                f"image {shorten_text(uri)!r} can't be decoded: it is AVIF; install `pip install 'pillow>=11.3'`"
            )
    return name


def _open(data: bytes, name: str) -> Image.Image:
    """Opens an image, which reads its header. Raises what Pillow raises."""
    from PIL import Image

    _load_decoders()
    # The JPEG decoder also reads MPO, which is JPEG with several pictures.
    return Image.open(io.BytesIO(data), formats=(name,))


@cache
def _load_decoders() -> None:
    # Image.open loads all plugins if it misses one.
    for module in _DECODERS.values():
        import_module(module)
    if has_heif():
        with contextlib.suppress(ImportError):  # a broken installation must not fail other images
            from pillow_heif import register_heif_opener

            register_heif_opener()
    # Limits are checked here; Pillow's other warnings are harmless or become errors.
    warnings.filterwarnings("ignore", module=r"PIL\.")


def _is_sendable(image: Image.Image) -> bool:
    # Frames are only counted where that is cheap: a GIF's decoder goes through all of them.
    return image.format in _SENDABLE and getattr(image, "n_frames", 1) == 1


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        raise ImageError(_too_large(f"{size[0]}x{size[1]} pixels", max_pixels))


def _too_large(found: str, max_pixels: int) -> str:
    return f"has {found}; at most {max_pixels:,} are allowed (`max_image_pixels` of the source)"
