from __future__ import annotations

import asyncio
import base64
import copy
import io
from pathlib import Path

import pytest
from PIL import Image

from mminf.errors import ImageError
from mminf.image import ImagePolicy, ImageStore, View, check_allowed, decode_image, read_image, scale_down

from .conftest import tiny_image


def png(size: tuple[int, int] = (20, 10), mode: str = "RGB") -> bytes:
    data = io.BytesIO()
    Image.new(mode, size, 128 if mode == "L" else "red").save(data, "PNG")
    return data.getvalue()


def test_decoded_images_are_rgb_and_shared_by_deep_copies() -> None:
    image, mime = decode_image(png(mode="L"), "x")
    assert (image.mode, image.size, mime) == ("RGB", (20, 10), "image/png")
    assert copy.deepcopy({"images": [image]})["images"][0] is image


def test_transparency_becomes_white() -> None:
    data = io.BytesIO()
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(data, "PNG")
    assert decode_image(data.getvalue(), "x")[0].getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"no image at all", "can't be decoded"),
        (png()[: len(png()) - 25], "can't be decoded"),
        (b"\x89PNG\r\n\x1a\n", "can't be decoded"),
    ],
    ids=["text", "truncated", "header only"],
)
def test_broken_images_say_why(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        decode_image(data, "x.png")


def test_huge_images_are_refused_by_their_header() -> None:
    with pytest.raises(ImageError, match="2000x1000 pixels; at most 1,000,000"):
        decode_image(png((2000, 1000)), "x.png", max_pixels=1_000_000)


def test_missing_empty_and_heavy_files_say_so(tmp_path: Path) -> None:
    policy = ImagePolicy(roots=None, max_bytes=100)
    (tmp_path / "empty.png").touch()
    (tmp_path / "heavy.png").write_bytes(b"x" * 101)
    for name, reason in (("gone.png", "is not there"), ("empty.png", "is empty"), ("heavy.png", "101 bytes")):
        with pytest.raises(ImageError, match=reason):
            read_image(str(tmp_path / name), policy)


def test_only_allowed_folders_hosts_and_schemes(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    outside = tiny_image(tmp_path / "out.png")
    (inside / "link.png").symlink_to(outside)
    policy = ImagePolicy(roots=(inside.resolve(),), hosts=frozenset({"images.example"}))
    for uri in (str(outside), str(inside / ".." / "out.png"), str(inside / "link.png"), f"file://{outside}"):
        with pytest.raises(ImageError, match="outside the source's folder"):
            check_allowed(uri, policy)
    with pytest.raises(ImageError, match="host 'other.example' is not allowed"):
        check_allowed("https://other.example/a.png", policy)
    with pytest.raises(ImageError, match="scheme 'ftp'"):
        check_allowed("ftp://images.example/a.png", policy)
    check_allowed("https://images.example/a.png", policy)
    check_allowed(str(tiny_image(inside / "own.png")), policy)


def test_store_loads_an_image_once(tmp_path: Path) -> None:
    path = str(tiny_image(tmp_path / "a.png"))

    async def load() -> None:
        store = ImageStore(ImagePolicy(roots=None))
        first, second = await asyncio.gather(store.open(path), store.open(path))
        assert first is second
        await asyncio.gather(store.decode(first), store.decode(second))
        assert first.pixels is not None
        made = first.pixels
        await store.decode(first)
        assert first.pixels is made
        store.close()

    asyncio.run(load())


def test_data_urls_are_scaled_down_where_asked(tmp_path: Path) -> None:
    path = str(tiny_image(tmp_path / "a.png", size=(300, 100)))

    async def load() -> None:
        store = ImageStore(ImagePolicy(roots=None))
        image = await store.open(path)
        whole, small = View("url", 30_000), View("url", 7_500)
        await store.decode(image, whole)
        assert base64.b64decode(image.views[whole].partition(",")[2]) == Path(path).read_bytes()
        await store.decode(image, small)
        assert decode_image(read_image(image.views[small], ImagePolicy()), "x")[0].size == (150, 50)
        store.close()

    asyncio.run(load())


def test_scaled_pixels_are_those_of_ms_swift(tmp_path: Path) -> None:
    from swift.template.vision_utils import rescale_image

    image = Image.effect_noise((301, 97), 80).convert("RGB")
    ours, theirs = scale_down(image, 9_000), rescale_image(image, 9_000)
    assert ours.size == theirs.size and ours.tobytes() == theirs.tobytes()
    assert scale_down(image, 301 * 97) is image


def test_what_is_kept_is_bounded_by_its_bytes(tmp_path: Path) -> None:
    paths = [str(tiny_image(tmp_path / f"{n}.png", size=(100, 100))) for n in range(10)]

    async def load() -> None:
        store = ImageStore(ImagePolicy(roots=None), capacity=100_000)
        held = []
        for path in paths:
            held.append(await store.open(path))
            await store.decode(held[-1])
        again = [await store.open(path) for path in reversed(paths)]
        assert [one is other for one, other in zip(reversed(held), again, strict=True)] == [True] * 3 + [False] * 7
        assert all(image.pixels.size == (100, 100) for image in held), "what is held elsewhere lives on"
        store.close()

    asyncio.run(load())
