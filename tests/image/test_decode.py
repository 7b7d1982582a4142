"""Formats, bounds and broken files."""

from __future__ import annotations

import copy
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mminf.errors import ImageError
from mminf.image import decode as decode_module
from mminf.image import decode_image

from .files import drawn, saved

PNG = saved(Image.new("RGB", (20, 10), "red"), "PNG")
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"


def pcx() -> bytes:
    return saved(drawn("RGB"), "PCX")


def test_decoded_images_are_rgb_and_shared_by_deep_copies() -> None:
    found = decode_image(saved(Image.new("L", (20, 10), 128), "PNG"), "x")
    assert (found.pixels.mode, found.pixels.size, found.mime) == ("RGB", (20, 10), "image/png")
    assert copy.deepcopy({"images": [found.pixels]})["images"][0] is found.pixels


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"no image at all", "not an image"),
        (PNG[: len(PNG) - 25], "can't be decoded"),
        (b"\x89PNG\r\n\x1a\n", "not a valid PNG file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (b"", "not an image"),
    ],
    ids=["text", "truncated", "header only", "svg", "nothing"],
)
def test_broken_images_say_why(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason) as failure:
        decode_image(data, "folder/" * 200 + "x.png")
    assert len(str(failure.value)) < 300


@pytest.mark.parametrize("form", ["PCX", "TGA", "ICO", "SGI", "IM", "DIB", "ICNS", "JPEG2000", "MSP", "DDS"])
def test_formats_that_are_not_listed_are_refused(form: str) -> None:
    image = drawn("1" if form == "MSP" else "RGBA" if form == "ICNS" else "RGB", (32, 32))
    with pytest.raises(ImageError, match="not an image, or in an unsupported format"):
        decode_image(saved(image, form), "x.png")


def test_eps_is_never_loaded(tmp_path: Path) -> None:
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/was_run\n")
    (tmp_path / "gs").chmod(0o755)
    (tmp_path / "x.png").write_bytes(EPS)
    (tmp_path / "y.png").write_bytes(PNG)
    code = (
        "import sys\nfrom mminf.image import decode_image\n"
        f"decode_image(open({str(tmp_path / 'y.png')!r}, 'rb').read(), 'y')\n"
        f"try: decode_image(open({str(tmp_path / 'x.png')!r}, 'rb').read(), 'x')\n"
        "except Exception as error: print(error)\n"
        "print('PIL.EpsImagePlugin' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PATH": str(tmp_path)}, cwd="/"
    )
    assert out.stdout.splitlines()[-1] == "False" and "not an image" in out.stdout
    assert not (tmp_path / "was_run").exists()


def test_huge_images_are_refused_by_their_header() -> None:
    data = saved(Image.new("RGB", (2000, 1000)), "PNG")
    with pytest.raises(ImageError, match="2000x1000 pixels; at most 1,000,000"):
        decode_image(data, "x.png", max_pixels=1_000_000)
    assert decode_image(data, "x.png", max_pixels=2_000_000)[0].size == (2000, 1000)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_the_content_decides_the_format(form: str) -> None:
    image = drawn("P" if form == "GIF" else "RGB").convert("RGB")
    options = {"lossless": True} if form == "WEBP" else {}
    found = decode_image(saved(image, form, **options), "photo.jpg")
    assert (np.asarray(found.pixels) == np.asarray(image)).all()


@pytest.mark.parametrize("form", ["JPEG", "AVIF", "MPO"])
def test_lossy_formats_have_about_the_same_pixels(form: str) -> None:
    image = Image.linear_gradient("L").convert("RGB")
    found = decode_image(saved(image, form, quality=95), "x.png").pixels
    assert abs(np.asarray(found).astype(int) - np.asarray(image)).max() <= 8


def test_heic_is_decoded() -> None:
    pytest.importorskip("pillow_heif")
    decode_module._load_decoders()
    image = Image.linear_gradient("L").convert("RGB")
    found = decode_image(saved(image, "HEIF", quality=95), "x.heic")
    assert not found.plain
    assert abs(np.asarray(found.pixels).astype(int) - np.asarray(image)).max() <= 8


def test_heic_without_the_extra_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_module, "has_heif", lambda: False)
    with pytest.raises(ImageError, match=r"it is HEIC; install `pip install 'mminf\[heic\]'`"):
        decode_image(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "x.heic")


def test_broken_heic_says_so() -> None:
    pytest.importorskip("pillow_heif")
    with pytest.raises(ImageError, match="not a valid HEIF file"):
        decode_image(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 200, "x.heic")


@pytest.mark.parametrize("form", ["GIF", "WEBP", "TIFF", "PNG", "MPO", "AVIF"])
def test_the_first_frame_counts(form: str) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    data = saved(frames[0], form, save_all=True, append_images=frames[1:])
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == 2
    found = decode_image(data, "x")
    red, green, blue = found.pixels.getpixel((16, 16))
    assert red > 245 and green < 10 and blue < 10
    assert not found.plain


@pytest.mark.parametrize(
    ("data", "plain"),
    [
        (saved(drawn("RGB"), "JPEG"), True),
        (saved(drawn("RGB"), "PNG"), True),
        (saved(drawn("RGB"), "WEBP"), True),
        (saved(drawn("L"), "JPEG"), False),
        (saved(drawn("CMYK"), "JPEG"), False),
        (saved(drawn("RGBA"), "PNG"), False),
        (saved(drawn("RGB"), "PNG", transparency=(0, 0, 0)), False),
        (saved(drawn("P"), "PNG"), False),
        (saved(drawn("RGB"), "BMP"), False),
        (saved(drawn("RGB"), "AVIF"), False),
        (saved(drawn("RGB"), "TIFF"), False),
    ],
    ids=["jpeg", "png", "webp", "grey", "cmyk", "alpha", "transparent colour", "palette", "bmp", "avif", "tiff"],
)
def test_plain_files_may_be_sent_as_they_are(data: bytes, plain: bool) -> None:
    assert decode_image(data, "x").plain is plain
