"""Images that models see otherwise than trainers do."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from PIL import Image

from mminf.image import ImagePolicy, ImageStore, decode_image


def saved_as(folder: Path, kind: str) -> Path:
    """Writes an image that is stored lying on its side, transparent in part, transparent nowhere, or plain."""
    image, exif = Image.new("RGB", (8, 4), "red"), Image.Exif()
    if kind == "lying":
        exif[0x0112] = 6
    if kind in ("clear", "opaque", "palette"):
        image = Image.new("RGBA", (8, 4), (255, 0, 0, 255))
        if kind != "opaque":
            image.putpixel((1, 1), (0, 0, 0, 0))
        if kind == "palette":
            image = image.quantize(4)
    path = folder / (f"{kind}.jpg" if image.mode == "RGB" else f"{kind}.png")
    image.save(path, exif=exif)
    return path


@pytest.mark.parametrize(
    ("kind", "told"), [("lying", True), ("clear", True), ("palette", True), ("opaque", False), ("plain", False)]
)
def test_images_that_trainers_see_otherwise_are_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, told: bool
) -> None:
    """Checked with the function that ms-swift reads images of rows with."""
    from swift.template.vision_utils import load_image

    path = saved_as(tmp_path, kind)
    (tmp_path / "more").mkdir()
    again = saved_as(tmp_path / "more", kind)

    async def load() -> None:
        store = ImageStore(ImagePolicy(roots=None))
        for item in (path, again):
            await store.decode(await store.open(str(item)))
        store.close()

    asyncio.run(load())
    said = [record.message for record in caplog.records if "ms-swift trains on the file" in record.message]
    assert len(said) == told
    seen, trained = decode_image(path.read_bytes(), str(path)).pixels, load_image(str(path))
    assert ((seen.size, seen.tobytes()) != (trained.size, trained.tobytes())) is told
