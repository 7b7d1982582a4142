"""Images of more than 8 bits per sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from mminf.errors import ImageError
from mminf.image import decode_image
from mminf.image.wide import pick_span

from .files import gradient, png16, saved, tiff


def decoded(data: bytes) -> Any:
    return np.asarray(decode_image(data, "x")[0]).astype(int)


def scaled(values: Any, low: float, high: float) -> Any:
    """What the samples are in 8 bits where `low` is black and `high` is white."""
    return np.floor((values.astype(np.float64) - low) * 255 / (high - low) + 0.5).astype(int)


GREY = {
    "uint16": (gradient(0, 65535, np.uint16), 0, 65535),
    "uint16 of 12 bits": (gradient(0, 4095, np.uint16), 0, 4095),
    "uint16 narrow and high": (gradient(60000, 60100, np.uint16), 60000, 60100),
    "uint16 just a quarter": (gradient(1000, 17500, np.uint16), 0, 65535),
    "uint16 constant": (np.full((3, 4, 1), 40000, np.uint16), 0, 65535),
    "int16 signed": (gradient(-1024, 3071, np.int16), -1024, 3071),
    "int16 never negative": (gradient(0, 32767, np.int16), 0, 32767),
    "int16 whole range": (gradient(-32768, 32767, np.int16), -32768, 32767),
    "uint32": (gradient(0, 2**32 - 1, np.uint32), 0, 2**32 - 1),
    "uint32 narrow": (gradient(2**31, 2**31 + 500, np.uint32), 2**31, 2**31 + 500),
    "float in 0 to 1": (gradient(0, 1, np.float32), 0, 1),
    "float narrow": (gradient(0.5, 0.6, np.float32), np.float32(0.5), np.float32(0.6)),
    "float in 0 to 255": (gradient(0, 255, np.float32), 0, 255),
    "float negative": (gradient(-3, 5, np.float32), -3, 5),
    "float constant": (np.full((3, 4, 1), 0.25, np.float32), 0, 1),
}


@pytest.mark.parametrize(("values", "low", "high"), GREY.values(), ids=GREY)
@pytest.mark.parametrize("packed", [False, True], ids=["raw", "deflate"])
def test_grey_tiffs_are_scaled_and_never_clipped(values: Any, low: float, high: float, packed: bool) -> None:
    assert (decoded(tiff(values, packed=packed)) == scaled(values, low, high)).all()


@pytest.mark.parametrize("name", ["uint16", "int16 signed", "float narrow"])
def test_big_endian_tiffs_are_the_same(name: str) -> None:
    values, low, high = GREY[name]
    assert (decoded(tiff(values, order=">")) == scaled(values, low, high)).all()


@pytest.mark.parametrize("name", ["uint16", "uint16 of 12 bits", "uint16 constant"])
def test_grey_pngs_are_scaled(name: str) -> None:
    values, low, high = GREY[name]
    assert (decoded(png16(values)) == scaled(values, low, high)).all()


def test_a_constant_image_outside_of_its_range_is_black() -> None:
    assert (decoded(tiff(np.full((3, 4, 1), 7.5, np.float32))) == 0).all()


def test_white_is_zero_where_the_file_says_so() -> None:
    values = gradient(0, 65535, np.uint16)
    assert (decoded(tiff(values, photometric=0)) == np.floor(255 - values / 65535 * 255 + 0.5)).all()


def test_values_that_are_not_finite_become_the_minimum() -> None:
    values = gradient(0, 200, np.float32)
    values[0, :3, 0] = np.nan, np.inf, -np.inf
    finite = values[np.isfinite(values)]
    found = decoded(tiff(values))
    assert (found[0, :3] == 0).all()
    assert (found[1:] == scaled(values[1:], finite.min(), finite.max())).all()


def test_an_image_without_a_finite_value_fails() -> None:
    with pytest.raises(ImageError, match=r"'x' has no finite value"):
        decoded(tiff(np.full((3, 4, 1), np.nan, np.float32)))


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_modes_that_pillow_writes(mode: str) -> None:
    values = gradient(0, 1 if mode == "F" else 65535, {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode])
    data = saved(Image.fromarray(values[..., 0]), "TIFF")
    high = 1 if mode == "F" else 65535
    assert (decoded(data) == scaled(values, *((0, high) if mode != "I" else (0, 65535)))).all()


def test_grey_maps_of_netpbm_are_scaled_by_their_own_maximum() -> None:
    values = gradient(0, 1000, np.uint16)
    data = b"P5\n16 8\n1000\n" + values.astype(">u2").tobytes()
    assert abs(decoded(data) - scaled(values, 0, 1000)).max() <= 1  # rounded twice


def colours(channels: int, high: int = 65535) -> Any:
    return np.random.default_rng(channels).integers(0, high + 1, (9, 7, channels), dtype=np.uint16)


TIFFS = {f"{order} {'deflate' if packed else 'raw'}": (order, packed) for order in "<>" for packed in (False, True)}


def colour_files(values: Any, extra: int | None = None) -> list[bytes]:
    files = [tiff(values, order=order, packed=packed, extra=extra) for order, packed in TIFFS.values()]
    return files if values.shape[2] == 4 and extra == 0 else [*files, png16(values)]


@pytest.mark.parametrize("high", [65535, 4095], ids=["16 bits", "12 bits"])
def test_colours_keep_their_low_byte(high: int) -> None:
    values = colours(3, high)
    values[0, 0], values[0, 1] = 0, high
    for number, data in enumerate(colour_files(values)):
        assert (decoded(data) == scaled(values, 0, high)).all(), number


@pytest.mark.parametrize("channels", [2, 4], ids=["grey", "colour"])
def test_transparency_of_16_bits_is_on_white(channels: int) -> None:
    values = colours(channels)
    opacity = values[..., -1:] / 65535
    wanted = np.floor(values[..., :-1] / 65535 * 255 * opacity + 255 * (1 - opacity) + 0.5)
    files = [png16(values)] if channels == 2 else colour_files(values, extra=2)
    for number, data in enumerate(files):
        assert (decoded(data) == wanted).all(), number


def test_a_fourth_channel_without_a_meaning_is_ignored() -> None:
    values = colours(4)
    for data in colour_files(values, extra=0):
        assert (decoded(data) == scaled(values[..., :3], 0, 65535)).all()


@pytest.mark.parametrize("channels", [1, 3], ids=["grey", "colour"])
def test_a_transparent_colour_of_16_bits_is_white_and_does_not_stretch_the_rest(channels: int) -> None:
    values = np.random.default_rng(1).integers(100, 200, (8, 8, channels), dtype=np.uint16)
    values[0, 0], values[0, 1], values[0, 2] = 65535, 100, 199
    found = decoded(png16(values, transparent=(65535,) * channels))
    assert (found[0, 0] == 255).all()
    assert (found[1:] == scaled(values[1:], 100, 199)).all()


def test_an_image_that_is_all_transparent_is_white() -> None:
    values = colours(4)
    values[..., 3] = 0
    assert (decoded(png16(values)) == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_wide_images_are_upright(orientation: int) -> None:
    values = colours(3)
    upright = decoded(png16(values))
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
    wanted = Image.fromarray(upright.astype(np.uint8))
    if orientation > 1:
        wanted = wanted.transpose(Image.Transpose(turns[orientation]))
    for data in (png16(values, orientation=orientation), tiff(values, orientation=orientation)):
        assert (decoded(data) == np.asarray(wanted)).all()


@pytest.mark.parametrize("packed", [False, True], ids=["raw", "deflate"])
def test_planes_of_16_bits_are_refused(packed: bool) -> None:
    with pytest.raises(ImageError, match="'x' can't be decoded: a TIFF with 16-bit colours in separate planes"):
        decoded(tiff(colours(3), planes=2, packed=packed))


def test_large_images_are_scaled_in_strips() -> None:
    values = np.random.default_rng(5).integers(0, 65536, (1100, 1000, 1), dtype=np.uint16)
    assert (decoded(png16(values)) == scaled(values, 0, 65535)).all()


@pytest.mark.parametrize(
    ("low", "high", "span", "picked"),
    [
        (0, 65535, (0, 65535), (0, 65535)),
        (10, 20, (0, 65535), (10, 20)),
        (5, 5, (0, 65535), (0, 65535)),
        (0, 300, (0, 1), (0, 300)),
        (-1, 1, (0, 1), (-1, 1)),
        (7, 7, (0, 1), (7, 7)),
    ],
    ids=["whole", "narrow", "constant", "above", "below", "constant outside"],
)
def test_span(low: float, high: float, span: tuple[float, float], picked: tuple[float, float]) -> None:
    assert pick_span(low, high, span) == picked
