from __future__ import annotations

import subprocess
import sys

import pytest

from mminf.image import SUFFIXES, image_ending, looks_like_image_bytes, looks_like_image_name
from mminf.image.formats import sniff

from .files import FORMATS, drawn, saved


@pytest.mark.parametrize("form", FORMATS)
def test_formats_are_known_by_their_first_bytes(form: str) -> None:
    data = saved(drawn("P" if form == "GIF" else "RGB"), form)
    assert sniff(data) == ("JPEG" if form == "MPO" else form)
    assert sniff(data[:64]) == sniff(data)
    assert looks_like_image_bytes(data)


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (b"MM\0*\0\0\0\x08", "TIFF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "AVIF"),
        (b"\0\0\0\x18ftypavis\0\0\0\0mif1avif", "AVIF"),
        (b"P5\n# made by\n2 2\n255\n", "PPM"),
        (b"\0\0\0\x18ftypisom\0\0\0\0mp41avc1", None),
        (b"BMX is a sport on bicycles", None),
        (b"P5 is a number", None),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"%!PS-Adobe-3.0 EPSF-3.0", None),
        (b"GIF", None),
        (b"", None),
    ],
    ids=[
        "big-endian",
        "heic",
        "mif1 heic",
        "mif1 avif",
        "avis",
        "pgm",
        "mp4",
        "BM",
        "P5",
        "wave",
        "eps",
        "cut",
        "empty",
    ],
)
def test_first_bytes(data: bytes, form: str | None) -> None:
    assert sniff(data) == form


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a.jpg", True),
        ("/data/x/A.PNG", True),
        ("a.b/c.avif", True),
        ("photo.heic", True),
        ("https://h.example/a.webp?width=3&x=.txt#top", True),
        ("s3://bucket/key/a.tiff", True),
        ("file:///x/a.jfif", True),
        ("https://h.example/download?name=a.png", False),
        ("https://h.example", False),
        ("Is this cat.png?", False),
        ("a.txt", False),
        ("", False),
        ("png", False),
        ("line\nnext.png", False),
        ("data:image/png;base64,AAAA.png", False),
        ("http://[::1/a.png", False),
        ("x" * 5000 + ".png", False),
    ],
)
def test_names(text: str, found: bool) -> None:
    assert looks_like_image_name(text) is found


def test_endings_are_the_usual_ones() -> None:
    assert [image_ending(saved(drawn("RGB"), form)) for form in ("JPEG", "PNG", "TIFF", "AVIF", "WEBP", "BMP")] == [
        "jpg", "png", "tiff", "avif", "webp", "bmp"
    ]  # fmt: skip
    assert image_ending(b"unknown") == "jpg"


def test_heic_is_listed_where_the_extra_is_installed() -> None:
    pytest.importorskip("pillow_heif")
    assert {".avif", ".jfif", ".jpe", ".mpo", ".heic", ".heif"} <= SUFFIXES
    code = (
        "import importlib.util as util\nfind = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'pillow_heif' else find(name, *rest)\n"
        "from mminf.image import SUFFIXES\nprint('.heic' in SUFFIXES, '.avif' in SUFFIXES)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert out.stdout.split() == ["False", "True"]
