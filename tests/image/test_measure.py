"""Size and perceptual hash of images."""

from __future__ import annotations

import io
from pathlib import Path

import imagehash
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mminf_plugins.demo.world import draw_scene, make_scene
from PIL import Image

from mminf.errors import ImageError
from mminf.image import decode_image, measure_image


def packed(image: Image.Image, kind: str, orientation: int = 1, **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, kind, exif=exif, **options)
    return file.getvalue()


def scene(seed: int, size: tuple[int, int] = (700, 400)) -> Image.Image:
    return draw_scene(make_scene(seed)).convert("RGB").resize(size)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_measured_upright(kind: str, orientation: int) -> None:
    data = packed(scene(orientation), kind, orientation)
    found = measure_image(data, "x")
    pixels = decode_image(data, "x").pixels
    assert (found.width, found.height) == pixels.size
    assert (found.phash ^ int(str(imagehash.phash(pixels)), 16)).bit_count() <= 4


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_of_all_modes(mode: str) -> None:
    image = scene(1).convert(mode)
    found = measure_image(packed(image, "JPEG", 6), "x")
    assert (found.width, found.height) == (400, 700)


def test_copies_of_other_quality_are_similar_and_other_images_are_not() -> None:
    one, same, other = (
        measure_image(packed(image, "JPEG", quality=quality), "x").phash
        for image, quality in ((scene(1), 95), (scene(1), 60), (scene(2), 95))
    )
    assert (one ^ same).bit_count() <= 4 < (one ^ other).bit_count()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no image", "image 'a.png' can't be decoded: not an image"),
        (packed(scene(1), "JPEG")[:300], "image 'a.png' can't be decoded"),
        (packed(scene(1), "PNG")[:3000], "image 'a.png' can't be decoded"),
    ],
)
def test_broken_images(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        measure_image(data, "a.png")


def test_large_images_are_refused() -> None:
    with pytest.raises(ImageError, match="has 700x400 pixels; at most 1,000 are allowed"):
        measure_image(packed(scene(1), "JPEG"), "a.jpg", max_pixels=1000)


@given(st.binary(max_size=40), st.integers(2, 400), st.sampled_from(["JPEG", "PNG"]))
@settings(max_examples=50, deadline=None)
def test_a_damaged_image_is_an_image_error(noise: bytes, at: int, kind: str) -> None:
    data = packed(scene(1, (60, 40)), kind)
    try:
        found = measure_image(data[:at] + noise + data[at + len(noise) :], "x")
    except ImageError:
        return
    assert found.width > 0 <= found.phash < 2**64


def test_real_images(real_images: Path) -> None:
    for path in sorted(real_images.iterdir())[:8]:
        found = measure_image(path.read_bytes(), str(path))
        assert (found.width, found.height) == decode_image(path.read_bytes(), str(path)).pixels.size
