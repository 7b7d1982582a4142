"""Image files of rows: sizes, duplicates, and those that can't be read."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from mminf_plugins.demo.world import draw_scene, make_scene
from PIL import Image

from mminf.properties.figures import Images, Share
from mminf.properties.images import Facts, ImageCounts, ImageFiles, ImageReader, Unread
from mminf.properties.rows import ImageValue
from mminf.storage import to_path

from ..conftest import tiny_image


def images_of(*rows: tuple[ImageValue, ...], folder: Path) -> Images:
    reader, counts, files = ImageReader(folder), ImageCounts(), ImageFiles()
    for number, row in enumerate(rows):
        counts.add(row)
        for value in row:
            files.add(reader.read(value), f"rows:{number}")
    return files.result(counts)


def test_sizes_and_aspect_ratios(tmp_path: Path) -> None:
    for name, size in (("a.png", (64, 32)), ("b.png", (32, 64)), ("c.jpg", (32, 32)), ("d.png", (300, 10))):
        tiny_image(tmp_path / name, size=size)
    found = images_of(("a.png", "b.png"), ("c.jpg",), (), (str(tmp_path / "d.png"),), folder=tmp_path)
    assert (found.per_row.count, found.per_row.mean, found.per_row.most) == (4, 1.0, 2)
    assert found.measured == 4
    assert (found.width.mean, found.height.most, found.pixels.most) == (107, 64, 3000)
    assert (found.landscape, found.portrait, found.square) == (Share(2, 4), Share(1, 4), Share(1, 4))
    assert sum(found.aspect.counts) == 4
    filled = {edge: count for edge, count in zip(found.aspect.edges, found.aspect.counts, strict=False) if count}
    assert filled == {0.5: 1, 0.95: 1, 2: 1, 4: 1}
    assert found.aspect.edges[-1] == 31


def test_duplicates_by_name_content_and_look(tmp_path: Path) -> None:
    draw = draw_scene(make_scene(1)).convert("RGB")
    for name, quality in (("a.jpg", 90), ("b.jpg", 90), ("c.jpg", 70)):
        draw.save(tmp_path / name, quality=quality)
    Image.effect_noise((200, 150), 90).save(tmp_path / "d.jpg")
    rows = [(name,) for name in ("a.jpg", "a.jpg", "b.jpg", "c.jpg", "d.jpg")]
    found = images_of(*rows, folder=tmp_path)
    assert (found.names.repeated, found.exact, found.near) == (Share(1, 5), Share(2, 5), Share(3, 5))


def test_images_that_are_not_read_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n, but no more")
    (tmp_path / "empty.png").touch()
    rows = [
        ("none.png", "bad.png"),
        ("x" * 300 + ".png", "empty.png"),
        ("https://example.com/a.png", "s3://bucket/a.png"),
        ("data:image/png;base64,AAAA",),
        ("a\0b.png",),
        (str(tmp_path),),
        ("file://[a.png",),
    ]
    found = images_of(*rows, folder=tmp_path)
    assert found.measured == 0
    assert (found.missing.count, found.missing.first) == (4, f"rows:0: {tmp_path / 'none.png'}")
    assert found.broken.count == 4
    assert str(found.broken.first).startswith("rows:0: image ")
    assert (found.remote.count, found.remote.first) == (2, "rows:2: https://example.com/a.png")
    assert found.landscape.share is None


def test_embedded_images_are_measured(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (20, 10)).save(file, "PNG")
    text = base64.b64encode(file.getvalue()).decode()
    reader = ImageReader(tmp_path)
    found = [reader.read(value) for value in (file.getvalue(), text, f"data:image/png;base64,{text}")]
    assert len(set(found)) == 1
    assert isinstance(found[0], Facts)
    assert (found[0].width, found[0].height) == (20, 10)


def test_a_file_url_is_local(tmp_path: Path) -> None:
    tiny_image(tmp_path / "a.png")
    assert isinstance(ImageReader(Path("/")).read(f"file://{tmp_path}/a.png"), Facts)


def test_images_next_to_a_dataset_in_a_store_are_not_fetched() -> None:
    assert ImageReader(to_path("memory://bucket/x")).read("a.png") == Unread("remote", "a.png")


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_image(tmp_path / "a.png")
    reader = ImageReader(tmp_path)
    first = reader.read("a.png")
    (tmp_path / "a.png").unlink()
    assert reader.read("a.png") is first
    monkeypatch.setattr("mminf.properties.images._CACHED", 1)
    reader.read("b.png")
    assert isinstance(reader.read("a.png"), Unread)
