"""Modes, orientation, transparency and size."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mminf.image import decode_image, scale_down

from .files import ORIENTATION, drawn, saved

TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # EXIF's orientation: Pillow's Transpose


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF", "JPEG", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_upright(form: str, orientation: int) -> None:
    image = drawn("RGB", (12, 8))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"lossless": True} if form == "WEBP" else {}
    whole = decode_image(saved(image, form, **options), "x")
    turned = decode_image(saved(image, form, exif=exif, **options), "x")
    wanted = whole.pixels
    if orientation > 1:
        wanted = wanted.transpose(Image.Transpose(TURNS[orientation]))
        assert not turned.plain
    assert turned.pixels.size == wanted.size
    assert (np.asarray(turned.pixels) == np.asarray(wanted)).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "RGB"])
def test_transparency_becomes_white(mode: str) -> None:
    image = Image.new(mode, (4, 4), {"RGBA": (255, 0, 0, 0), "LA": (7, 0), "RGB": (9, 8, 7)}.get(mode, 7))
    options = {} if mode in ("RGBA", "LA") else {"transparency": (9, 8, 7) if mode == "RGB" else 7}
    if mode == "P":
        image.putpalette([10] * 768)
    found = decode_image(saved(image, "PNG", **options), "x").pixels
    assert found.getpixel((0, 0)) == (255, 255, 255)


def test_half_transparent_pixels_are_mixed_with_white() -> None:
    found = decode_image(saved(Image.new("RGBA", (2, 2), (200, 100, 0, 128)), "PNG"), "x").pixels
    assert np.allclose(found.getpixel((0, 0)), [227, 177, 127], atol=1)


@pytest.mark.parametrize(
    ("mode", "colour", "form", "rgb"),
    [
        ("1", 1, "PNG", (255, 255, 255)),
        ("1", 0, "TIFF", (0, 0, 0)),
        ("L", 77, "BMP", (77, 77, 77)),
        ("CMYK", (0, 255, 255, 0), "TIFF", (255, 0, 0)),
        ("YCbCr", (76, 85, 255), "TIFF", (254, 0, 0)),
        ("LAB", (255, 128, 128), "TIFF", (255, 255, 255)),
        ("LAB", (0, 128, 128), "TIFF", (0, 0, 0)),
        ("LAB", (138, 209, 198), "TIFF", (255, 0, 0)),
        ("RGBX", (1, 2, 3, 4), "TIFF", (1, 2, 3)),
        ("PA", 5, "TIFF", None),
    ],
    ids=["white", "black", "grey", "cmyk", "ycbcr", "lab white", "lab black", "lab red", "rgbx", "palette and alpha"],
)
def test_modes_have_the_right_colours(mode: str, colour: object, form: str, rgb: tuple[int, int, int] | None) -> None:
    image = Image.new(mode, (4, 4), colour) if mode != "PA" else drawn("PA")
    found = decode_image(saved(image, form), "x").pixels
    if rgb is None:  # palette and alpha
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        wanted = np.asarray(Image.alpha_composite(white, rgba).convert("RGB")).astype(int)
        assert abs(np.asarray(found) - wanted).max() <= 1
    else:
        assert np.allclose(found.getpixel((0, 0)), rgb, atol=6)


def test_scaled_pixels_are_those_of_ms_swift() -> None:
    from swift.template.vision_utils import rescale_image

    image = Image.effect_noise((301, 97), 80).convert("RGB")
    ours, theirs = scale_down(image, 9_000), rescale_image(image, 9_000)
    assert ours.size == theirs.size and ours.tobytes() == theirs.tobytes()
    assert scale_down(image, 301 * 97) is image
