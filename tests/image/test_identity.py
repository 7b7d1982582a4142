"""Digests, and what tells whether a file has changed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from mminf.image import image_digest, stat_image, stat_object
from mminf.image.identity import ImageStat

from .files import drawn, gradient, png16, saved, tiff

ORDINARY = {
    "png": saved(drawn("RGB"), "PNG"),
    "grey png": saved(drawn("L"), "PNG"),
    "jpeg": saved(drawn("RGB"), "JPEG"),
    "webp": saved(drawn("RGB"), "WEBP"),
    "tiff": saved(drawn("RGB"), "TIFF"),
    "grey tiff": saved(drawn("L"), "TIFF"),
    "bit tiff": saved(drawn("1"), "TIFF"),
    "ppm": saved(drawn("RGB"), "PPM"),
    "no image": b"text",
    "broken tiff": b"II*\0\xff\xff\xff\xff",
}
WIDE = {
    "grey png": png16(gradient(0, 65535, np.uint16)),
    "colour png": png16(np.zeros((2, 2, 3), np.uint16)),
    "grey tiff": tiff(gradient(0, 65535, np.uint16)),
    "colour tiff": tiff(np.zeros((2, 2, 3), np.uint16)),
    "float tiff": tiff(gradient(0, 1, np.float32)),
    "int tiff": tiff(gradient(0, 9, np.int32)),
    "pgm": saved(drawn("I;16"), "PPM"),
    "pfm": saved(drawn("F"), "PPM"),
}


@pytest.mark.parametrize("data", ORDINARY.values(), ids=ORDINARY)
def test_the_digest_of_an_ordinary_file_is_its_sha256(data: bytes) -> None:
    assert image_digest(data) == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("data", WIDE.values(), ids=WIDE)
def test_the_digest_of_wide_samples_is_another_one(data: bytes) -> None:
    found = image_digest(data)
    assert found != hashlib.sha256(data).hexdigest()
    assert len(found) == 64 and int(found, 16) and image_digest(data) == found


@pytest.mark.parametrize("name", ["png", "jpeg", "no image"])
def test_files_are_known_by_path_size_and_time(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(ORDINARY[name])
    found = os.stat(path)
    assert stat_image(str(path)) == ImageStat(str(path), found.st_size, found.st_mtime_ns)


@pytest.mark.parametrize("data", WIDE.values(), ids=WIDE)
def test_what_was_kept_of_wide_samples_is_not_found_again(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    found = os.stat(path)
    assert stat_image(str(path)) == ImageStat(f"2:{path}", found.st_size, found.st_mtime_ns)


def test_what_is_not_a_file_has_no_stat(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for uri in (str(tmp_path / "pipe.png"), str(tmp_path), str(tmp_path / "gone.png"), "a\0b", "x" * 5000):
        assert stat_image(uri) is None
    for uri in ("http://h.example/a.png", "data:image/png;base64,AAAA"):
        assert stat_image(uri) is None
    assert stat_object("https://h.example/a.png") is None
    assert stat_object("memory://nothing/there.png") is None
