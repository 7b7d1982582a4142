"""Images that are text."""

from __future__ import annotations

import base64
import textwrap
from urllib.parse import quote

import pytest

from mminf.errors import ImageError
from mminf.image import ImagePolicy, embedded_bytes, read_image

from .files import FORMATS, drawn, saved

PNG = saved(drawn("RGB", (40, 30)), "PNG")
BASE64 = base64.b64encode(PNG).decode()
MOST = 10**6


@pytest.mark.parametrize(
    "text",
    [
        BASE64,
        BASE64.rstrip("="),
        BASE64.replace("+", "-").replace("/", "_"),
        "\n".join(textwrap.wrap(BASE64, 76)),
        f"{BASE64}\n",
        f"data:image/png;base64,{BASE64}",
        f"data:;base64,{BASE64}",
        f"data:image/png;charset=utf-8;base64, {BASE64}",
        f"DATA:image/png;BASE64,{BASE64}",
        f"data:image/png;base64,{quote(BASE64)}",
        f"data:image/png,{quote(PNG)}",
    ],
    ids=["plain", "unpadded", "url alphabet", "wrapped", "newline", "uri", "no type", "parameters", "upper case",
         "quoted base64", "quoted bytes"],
)  # fmt: skip
def test_the_bytes_of_an_image(text: str) -> None:
    assert embedded_bytes(text, MOST) == PNG
    assert read_image(text, ImagePolicy()) == PNG


@pytest.mark.parametrize("form", FORMATS)
def test_base64_of_all_formats(form: str) -> None:
    data = saved(drawn("P" if form == "GIF" else "RGB"), form)
    assert embedded_bytes(base64.b64encode(data).decode(), MOST) == data


@pytest.mark.parametrize(
    "text",
    [
        "a.png",
        "iVBORw0KGgo.png",
        "images/" + "a" * 40,
        "/" + "/".join(["folder"] * 100) + "/a",
        "d41d8cd98f00b204e9800998ecf8427e",
        "https://h.example/" + "a" * 500,
        "s3://bucket/" + "a" * 5000,
        "A sentence without any full stop " * 200,
        "",
    ],
    ids=["name", "name like base64", "path", "long path", "digest", "url", "uri", "prose", "nothing"],
)
def test_paths_and_urls_are_not_embedded(text: str) -> None:
    assert embedded_bytes(text, MOST) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("QUFB" * 75_000, "base64 that is not an image"),
        (BASE64 + "*" + BASE64, "characters that are not base64"),
        (BASE64.rstrip("=") + "A" * (5 - len(BASE64.rstrip("=")) % 4), "broken base64"),
        ("data:image/png;base64,iVBOR*", "not base64"),
        ("data:image/png;base64,A", "broken base64"),
        ("data:image/png;base64,\ud800%41", "not base64"),
        ("data:,\ud800", "not an image"),
        ("data:image/png;base64,", "is empty"),
        ("data:image/png;base64", "without a comma"),
        ("data:text/plain,hello", "not an image"),
        ("data:image/png;base64," + "A" * 2_000_000, "at most 1,000,000 are allowed"),
        (base64.b64encode(PNG + b"x" * MOST).decode(), "at most 1,000,000 are allowed"),
        ("data:," + "x" * 1_500_000, "at most 1,000,000 are allowed"),
    ],
    ids=["not an image", "bad characters", "bad length", "uri with bad characters", "uri with bad length", "surrogate",
         "surrogate as text", "empty uri",
         "no comma", "text", "large uri", "large base64", "large text"],
)  # fmt: skip
def test_broken_ones_fail_with_a_short_reason(text: str, reason: str) -> None:
    for call in (lambda: embedded_bytes(text, MOST), lambda: read_image(text, ImagePolicy(max_bytes=MOST))):
        with pytest.raises(ImageError, match=reason) as failure:
            call()
        assert len(str(failure.value)) < 300
