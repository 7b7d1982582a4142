"""The store of a run, and what servers get."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
import logging
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mminf.errors import ImageError
from mminf.image import DigestCache, ImagePolicy, ImageStat, ImageStore, View, image_digest
from mminf.journal import Journal

from ..conftest import tiny_image
from .files import FORMATS, ORIENTATION, drawn, gradient, png16, saved, tiff

MODES = ("1", "L", "P", "RGB", "RGBA", "LA", "PA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16", "I;16B", "RGBX")
ANY = ImagePolicy(roots=None)


class Cache(DigestCache):
    def __init__(self) -> None:
        self.kept: dict[ImageStat, str] = {}

    def get(self, stat: ImageStat) -> str | None:
        return self.kept.get(stat)

    def put(self, stat: ImageStat, digest: str) -> None:
        self.kept[stat] = digest


def with_store(work: Callable[[ImageStore], Awaitable[None]], digests: DigestCache | None = None, **given: Any) -> None:
    async def run() -> None:
        store = ImageStore(ANY, digests, **given)
        try:
            await work(store)
        finally:
            store.close()

    asyncio.run(run())


def views_of(path: str | Path, *views: View) -> list[Any]:
    """Returns views of a file."""
    found = []

    async def look(store: ImageStore) -> None:
        image = await store.open(str(path))
        for view in views:
            await store.decode(image, view)
            found.append(image.views[view])

    with_store(look)
    return found


def check_what_a_server_gets(data: bytes, max_pixels: int | None = None) -> None:
    """A server, whatever it knows of EXIF, alpha and modes, sees the pixels that a local engine sees."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        path.write_bytes(data)
        local, url = views_of(path, View("pixels", max_pixels), View("url", max_pixels))
    head, _, body = url.partition(",")
    sent = base64.b64decode(body)
    with Image.open(io.BytesIO(sent)) as image:
        assert head == f"data:{Image.MIME[image.format]};base64"
        assert image.format in ("JPEG", "PNG", "WEBP")
        assert image.mode == "RGB" and not image.has_transparency_data
        assert getattr(image, "n_frames", 1) == 1
        assert image.getexif().get(ORIENTATION, 1) == 1
        assert image.size == local.size and np.array_equal(np.asarray(image), np.asarray(local))
    assert max_pixels is None or local.width * local.height <= max_pixels or min(local.size) == 1


def writable() -> list[tuple[str, str]]:
    found = []
    for mode in MODES:
        for form in FORMATS:
            with contextlib.suppress(OSError, ValueError, KeyError):
                saved(drawn(mode), form)
                found.append((mode, form))
    return found


WRITABLE = writable()


def test_most_modes_can_be_written() -> None:
    assert len(WRITABLE) > 60 and {mode for mode, _ in WRITABLE} == set(MODES)


@pytest.mark.parametrize(("mode", "form"), WRITABLE, ids=[f"{mode} {form}" for mode, form in WRITABLE])
def test_servers_get_the_pixels_of_local_engines(mode: str, form: str) -> None:
    for orientation in range(1, 9) if form in ("JPEG", "PNG", "TIFF", "WEBP", "MPO", "AVIF") else (1,):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        options = {} if orientation == 1 else {"exif": exif}
        check_what_a_server_gets(saved(drawn(mode, seed=orientation), form, **options))


@settings(max_examples=100, deadline=None, database=None)
@given(
    kind=st.sampled_from(WRITABLE),
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    seed=st.integers(0, 99),
    max_pixels=st.none() | st.integers(1, 600),
)
def test_servers_get_the_pixels_of_any_image(
    kind: tuple[str, str], width: int, height: int, seed: int, max_pixels: int | None
) -> None:
    try:
        data = saved(drawn(kind[0], (width, height), seed), kind[1])
    except (OSError, ValueError):  # formats have least sizes
        return
    check_what_a_server_gets(data, max_pixels)


@pytest.mark.parametrize(
    "data",
    [
        png16(gradient(0, 65535, np.uint16)),
        png16(np.full((3, 3, 4), 30000, np.uint16)),
        tiff(gradient(0, 9, np.float32)),
        saved(Image.new("RGB", (9, 9), "red"), "PNG", save_all=True, append_images=[Image.new("RGB", (9, 9))]),
        saved(Image.new("RGB", (9, 9), "red"), "PNG", transparency=(255, 0, 0)),
    ],
    ids=["16-bit grey", "16-bit colour", "float", "animated", "transparent colour"],
)
def test_servers_get_the_pixels_of_special_files(data: bytes) -> None:
    check_what_a_server_gets(data)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_plain_files_are_sent_as_they_are_and_scaled_down_where_asked(tmp_path: Path, form: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(saved(drawn("RGB", (300, 100)), form))
    whole, small = views_of(path, View("url", 30_000), View("url", 7_500))
    assert base64.b64decode(whole.partition(",")[2]) == path.read_bytes()
    with Image.open(io.BytesIO(base64.b64decode(small.partition(",")[2]))) as image:
        assert (image.format, image.size) == ("PNG", (150, 50))


def test_an_image_is_loaded_once(tmp_path: Path) -> None:
    path = str(tiny_image(tmp_path / "a.png"))

    async def load(store: ImageStore) -> None:
        first, second = await asyncio.gather(store.open(path), store.open(path))
        assert first is second
        await asyncio.gather(store.decode(first), store.decode(second))
        made = first.pixels
        await store.decode(first)
        assert first.pixels is made

    with_store(load)


def test_what_is_kept_is_bounded_by_its_bytes(tmp_path: Path) -> None:
    paths = [str(tiny_image(tmp_path / f"{n}.png", size=(100, 100))) for n in range(10)]

    async def load(store: ImageStore) -> None:
        held = []
        for path in paths:
            held.append(await store.open(path))
            await store.decode(held[-1])
        again = [await store.open(path) for path in reversed(paths)]
        assert [one is other for one, other in zip(reversed(held), again, strict=True)] == [True] * 3 + [False] * 7
        assert all(image.pixels.size == (100, 100) for image in held), "what is held elsewhere lives on"

    with_store(load, capacity=100_000)


def test_failures_leave_nothing_behind(tmp_path: Path) -> None:
    async def load(store: ImageStore) -> None:
        for number in range(200):
            calls = [store.open(str(tmp_path / f"{number}.png")) for _ in range(3)]
            found = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(error, ImageError) for error in found)
        assert not store._locks and not store._loaded and store._bytes == 0

    with_store(load)


def test_a_call_that_is_cancelled_leaves_no_lock(tmp_path: Path) -> None:
    path = str(tiny_image(tmp_path / "a.png"))

    async def load(store: ImageStore) -> None:
        task = asyncio.ensure_future(store.open(path))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not store._locks
        assert (await store.open(path)).digest == hashlib.sha256(Path(path).read_bytes()).hexdigest()

    with_store(load)


@pytest.mark.parametrize("uri", [None, 7, {"a": 1}, ["x" * 1000]])
def test_an_image_is_a_text(uri: Any) -> None:
    async def load(store: ImageStore) -> None:
        with pytest.raises(ImageError, match="a path or a URI, not") as failure:
            await store.open(uri)
        assert len(str(failure.value)) < 300

    with_store(load)


def test_text_that_contains_the_image_is_opened() -> None:
    data = saved(drawn(), "PNG")

    async def load(store: ImageStore) -> None:
        for uri in (base64.b64encode(data).decode(), f"data:image/png;base64,{base64.b64encode(data).decode()}"):
            image = await store.open(uri)
            await store.decode(image)
            assert image.digest == hashlib.sha256(data).hexdigest() and image.pixels.size == (6, 4)

    with_store(load)


@pytest.mark.parametrize("decoded", [False, True], ids=["digest from the cache", "another view"])
def test_a_file_that_changes_is_not_sent_under_the_old_digest(tmp_path: Path, decoded: bool) -> None:
    path, cache = tmp_path / "a.png", Cache()
    path.write_bytes(saved(drawn(seed=1), "PNG"))
    new = saved(drawn(seed=2), "PNG")

    async def load(store: ImageStore) -> None:
        if not decoded:
            await ImageStore(ANY, cache).open(str(path))
        image = await store.open(str(path))
        if decoded:
            await store.decode(image)
        stat = os.stat(path)
        path.write_bytes(new)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # nothing but the content tells
        with pytest.raises(ImageError, match="changed while it was used"):
            await store.decode(image, View("url"))
        again = await store.open(str(path))
        assert again.digest == hashlib.sha256(new).hexdigest()
        await store.decode(again, View("url"))
        assert base64.b64decode(again.views[View("url")].partition(",")[2]) == new

    with_store(load, cache)


def test_a_file_that_goes_away_fails(tmp_path: Path) -> None:
    path = tiny_image(tmp_path / "a.png")

    async def load(store: ImageStore) -> None:
        image = await store.open(str(path))
        await store.decode(image)
        path.unlink()
        with pytest.raises(ImageError, match="does not exist"):
            await store.decode(image, View("url"))
        assert not store._loaded and store._bytes == 0

    with_store(load)


@pytest.mark.parametrize("wide", [False, True], ids=["8 bits", "16 bits"])
def test_digests_of_an_older_journal_are_used_unless_the_pixels_changed(tmp_path: Path, wide: bool) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png16(gradient(0, 65535, np.uint16)) if wide else saved(drawn(), "PNG"))
    stat, old = os.stat(path), "0" * 64  # what an older version kept
    with Journal(tmp_path / "out", write=True) as journal:
        journal.images.put(ImageStat(str(path), stat.st_size, stat.st_mtime_ns), old)
    with Journal(tmp_path / "out", write=True) as journal:

        async def load(store: ImageStore) -> None:
            assert (await store.open(str(path))).digest == (image_digest(path.read_bytes()) if wide else old)

        with_store(load, journal.images)
    with Journal(tmp_path / "out") as journal:
        with_store(load, journal.images)


def test_scaling_to_8_bits_is_logged_once_per_kind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(png16(gradient(0, 65535, np.uint16)))
        (tmp_path / f"{number}.tiff").write_bytes(tiff(gradient(0, 1, np.float32)))

    async def load(store: ImageStore) -> None:
        for path in sorted(tmp_path.iterdir()):
            await store.decode(await store.open(str(path)))

    with caplog.at_level(logging.INFO, "mminf"):
        with_store(load)
    said = [record.message for record in caplog.records if "scaled to 8 bits" in record.message]
    assert len(said) == 2 and said[0].startswith("16-bit") and said[1].startswith("float")


def test_a_small_file_is_decoded_when_it_is_read(tmp_path: Path) -> None:
    """If its content is known from an earlier run, it is not: its answers may be known as well."""
    view, digests = View(max_pixels=20), Cache()
    for n in range(4):
        (tmp_path / f"{n}.png").write_bytes(saved(drawn(seed=n), "PNG"))
    (whole,) = views_of(tmp_path / "1.png", View())

    async def look(store: ImageStore) -> None:
        first = await store.open(str(tmp_path / "0.png"))
        assert not first.views, "no view has been asked for yet"
        await store.decode(first, view)
        second = await store.open(str(tmp_path / "1.png"))
        assert list(second.views) == [view]
        await store.decode(second, View())
        assert second.pixels.tobytes() == whole.tobytes()

    async def look_again(store: ImageStore) -> None:
        await store.decode(await store.open(str(tmp_path / "2.png")), view)
        assert not (await store.open(str(tmp_path / "1.png"))).views
        assert (await store.open(str(tmp_path / "3.png"))).views

    with_store(look, digests)
    with_store(look_again, digests)


def test_a_small_file_that_is_broken_fails_when_it_is_decoded(tmp_path: Path) -> None:
    """Its digest is needed before, for a step that reads no pixels or whose answer is known."""
    (tmp_path / "0.png").write_bytes(saved(drawn(), "PNG"))
    (tmp_path / "1.png").write_bytes(saved(drawn(size=(60, 40)), "PNG")[:-900])

    async def look(store: ImageStore) -> None:
        await store.decode(await store.open(str(tmp_path / "0.png")))
        broken = await store.open(str(tmp_path / "1.png"))
        assert broken.digest == image_digest((tmp_path / "1.png").read_bytes())
        with pytest.raises(ImageError, match="truncated"):
            await store.decode(broken)

    with_store(look)


def test_a_view_has_its_own_pixels_if_another_is_wanted_meanwhile(tmp_path: Path) -> None:
    small, full = View(max_pixels=20), View()
    for n in range(2):
        (tmp_path / f"{n}.png").write_bytes(saved(drawn(size=(60, 40), seed=n), "PNG"))

    async def look(store: ImageStore) -> None:
        await store.decode(await store.open(str(tmp_path / "0.png")), small)
        make = store._make_view

        def slow(*given: Any) -> Any:
            store._last_view = full  # as if another call asked for it at this moment
            return make(*given)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, "_make_view", slow)
            image = await store.open(str(tmp_path / "1.png"))
        sizes = {view: made.size for view, made in image.views.items() if not isinstance(made, str)}
        assert list(sizes) == [small]
        assert sizes[small] != (60, 40)
        await store.decode(image, full)
        assert image.pixels.size == (60, 40)

    with_store(look)


def test_a_small_file_of_a_large_image_is_decoded_only_if_it_is_needed(tmp_path: Path) -> None:
    Image.new("RGB", (1000, 1000)).save(tmp_path / "large.png")
    (tmp_path / "0.png").write_bytes(saved(drawn(), "PNG"))

    async def look(store: ImageStore) -> None:
        await store.decode(await store.open(str(tmp_path / "0.png")))
        large = await store.open(str(tmp_path / "large.png"))
        assert not large.views
        await store.decode(large)
        assert large.pixels.size == (1000, 1000)

    with_store(look)
