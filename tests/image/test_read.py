"""Bytes of images that records name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mminf.errors import ImageError
from mminf.image import ImagePolicy, read_image

from .files import drawn, saved


def test_missing_empty_and_heavy_files_say_so(tmp_path: Path) -> None:
    policy = ImagePolicy(roots=None, max_bytes=100)
    (tmp_path / "empty.png").touch()
    (tmp_path / "heavy.png").write_bytes(b"x" * 101)
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    reasons = {
        "gone.png": "does not exist",
        "empty.png": "is empty",
        "heavy.png": "101 bytes",
        "folder.png": "not a regular file",
        "pipe.png": "not a regular file",
        "a\0.png": "can't be read",
        "n." * 150: "File name too long",
        "empty.png/x": "Not a directory",
    }
    for name, reason in reasons.items():
        with pytest.raises(ImageError, match=reason) as failure:
            read_image(str(tmp_path / name), policy)
        assert len(str(failure.value)) < 300


@pytest.mark.parametrize("given", ["{}", "file://{}"], ids=["path", "uri"])
def test_files_are_read_as_they_are(tmp_path: Path, given: str) -> None:
    data = saved(drawn(), "PNG")
    (tmp_path / "a.png").write_bytes(data)
    assert read_image(given.format(tmp_path / "a.png"), ImagePolicy(roots=(tmp_path.resolve(),))) == data


def test_objects_are_bounded(tmp_path: Path) -> None:
    from mminf.storage import to_path

    data = saved(drawn(), "PNG")
    to_path("memory://images-of-read/a.png").write_bytes(data)
    policy = ImagePolicy(prefixes=("memory://images-of-read/",))
    assert read_image("memory://images-of-read/a.png", policy) == data
    with pytest.raises(ImageError, match="more than 10 bytes"):
        read_image("memory://images-of-read/a.png", ImagePolicy(prefixes=policy.prefixes, max_bytes=10))
    with pytest.raises(ImageError, match="does not exist") as failure:
        read_image("memory://images-of-read/" + "x" * 1000, policy)
    assert len(str(failure.value)) < 300
