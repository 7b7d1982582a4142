from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

import mminf
from mminf import api
from mminf.errors import RecordError
from mminf.image import ImagePolicy, decode_image, read_image
from mminf.plugin import discover
from mminf.recipe.model import TemplateFolders
from mminf.record import Record
from mminf.registry import STEPS
from mminf.step import Drop

from ..conftest import read_rows


def dropped(kind: str, records: Iterable[Record], **settings: Any) -> dict[str, str]:
    discover()
    cls = STEPS.get(kind)
    step = cls(cls.Config.model_validate(settings), TemplateFolders([]))

    class Reader:
        def read_image(self, uri: str) -> Any:
            return decode_image(read_image(uri, ImagePolicy(roots=None)), uri)[0]

    context: Any = Reader()
    return {
        record.id: outcome.reason if isinstance(outcome, Drop) else str(outcome)
        for record, outcome in step.run_all(records, context)
        if isinstance(outcome, Drop | RecordError)
    }


def texts(*values: str) -> list[Record]:
    return [Record(str(number), {"text": value}) for number, value in enumerate(values)]


def test_exact_duplicates() -> None:
    assert dropped("deduplicate", texts("a", "b", "a", "a "), reads="text") == {"2": "duplicate of 0"}


def test_near_duplicates() -> None:
    first = "The quick brown fox jumps over the lazy dog near the old river bank on a sunny day in the early spring"
    second = first.replace("sunny", "rainy").upper()
    other = "A completely different sentence that shares hardly anything with those that stand before it at all"
    found = dropped("deduplicate", texts(first, other, second), reads="text", method="minhash", threshold=0.6)
    assert found == {"2": "duplicate of 0"}


def test_near_duplicates_in_chinese() -> None:
    first = "图片中可以看到一个红色的圆形和一个蓝色的正方形，它们之间有一条线。"
    found = dropped(
        "deduplicate",
        texts(first, first.replace("蓝", "绿"), "这是什么？"),
        reads="text",
        method="minhash",
        threshold=0.6,
    )
    assert found == {"1": "duplicate of 0"}


def test_equal_looking_images(tmp_path: Path) -> None:
    rng = random.Random(0)
    picture = Image.new("RGB", (256, 256), "white")
    for _ in range(12):
        x, y = rng.randint(0, 200), rng.randint(0, 200)
        ImageDraw.Draw(picture).rectangle((x, y, x + 50, y + 50), fill=rng.choice(["red", "blue", "black"]))
    picture.save(tmp_path / "a.png")
    picture.resize((200, 200)).save(tmp_path / "b.jpg", quality=70)
    picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "c.png")
    (tmp_path / "d.png").write_bytes(b"broken")
    records = [Record(name, {"images": [str(tmp_path / name)]}) for name in ("a.png", "b.jpg", "c.png", "d.png")]
    records += [Record(name, {"images": []}) for name in ("none", "none either")]
    pair = [str(tmp_path / "a.png"), str(tmp_path / "c.png")]
    records += [Record("pair", {"images": pair}), Record("pair again", {"images": pair})]
    found = dropped("deduplicate", records, reads="images", method="image")
    assert "can't be decoded" in found.pop("d.png")
    assert found == {"b.jpg": "duplicate of a.png", "pair again": "duplicate of pair"}


def test_sample_is_drawn_from_the_record_alone(
    tmp_path: Path, write_recipe: Callable[..., Path], rows: Callable[..., Path]
) -> None:
    recipe = write_recipe("source: {jsonl: rows.jsonl}\nsteps:\n  - sample: 0.5\nsinks: [{jsonl: o.jsonl}]\n")
    rows(*({"id": str(n)} for n in range(200)))
    mminf.run(recipe, output=tmp_path / "all")
    kept = {row["id"] for row in read_rows(tmp_path / "all" / "o.jsonl")}
    assert 70 < len(kept) < 130
    rows(*({"id": str(n)} for n in range(100, 200)))
    mminf.run(recipe, output=tmp_path / "half")
    assert {row["id"] for row in read_rows(tmp_path / "half" / "o.jsonl")} == {i for i in kept if int(str(i)) >= 100}


def test_split_extract_rename(tmp_path: Path, write_recipe: Callable[..., Path], rows: Callable[..., Path]) -> None:
    recipe = write_recipe(
        """
source: {jsonl: rows.jsonl}
steps:
  - split: {reads: text, writes: line, separator: "\\n"}
  - extract: {reads: line, regex: "Q: (?P<question>.*)"}
  - rename: {question: instruction}
sinks: [{jsonl: {path: o.jsonl, columns: [instruction]}}]
"""
    )
    rows({"id": "a", "text": "Q: one\n\nno question\nQ: two"}, {"id": "b", "text": 3}, {"id": "c", "text": ""})
    result = mminf.run(recipe, output=tmp_path / "out")
    assert read_rows(tmp_path / "out" / "o.jsonl") == [
        {"instruction": "one", "id": "a/0"},
        {"instruction": "two", "id": "a/2"},
    ]
    assert (result.counts.done, result.counts.dropped, result.counts.failed) == (2, 2, 1)
    assert api.show(tmp_path / "out", "c")["outcomes"][0]["reason"] == "no children"


@pytest.mark.parametrize("image_paths", ["absolute", "relative"])
def test_tags_in_texts_are_places_and_the_other_images_come_first(
    tmp_path: Path, write_recipe: Callable[..., Path], rows: Callable[..., Path], image_paths: str
) -> None:
    recipe = write_recipe(
        f"""
source: {{jsonl: rows.jsonl}}
steps:
  - set: {{instruction: "'look <image> here'", response: "'fine </image>'", sys: "'be kind'"}}
sinks:
  - swift: {{path: sub/swift.jsonl, system: sys, columns: note, image_paths: {image_paths}}}
  - llava: {{path: llava.jsonl, image_paths: {image_paths}}}
"""
    )
    rows({"id": "a", "images": ["x.png", "y.png"], "note": 1}, {"id": "b", "note": 2})
    result = mminf.run(recipe, output=tmp_path / "out")
    (first,) = read_rows(tmp_path / "out" / "sub" / "swift.jsonl")
    assert "1 <image> tags, but the record has 0 images" in str(result.written[0].example)
    assert first["messages"] == [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "<image>look <image> here"},
        {"role": "assistant", "content": "fine < /image>"},
    ]
    expected = {"absolute": str(tmp_path / "x.png"), "relative": "../../x.png"}[image_paths]
    assert first["images"][0] == expected  # type: ignore[index]
    assert first["note"] == 1
    llava = read_rows(tmp_path / "out" / "llava.jsonl")
    assert llava[0]["conversations"][0]["value"] == "<image>\nlook <image> here"  # type: ignore[index]
    assert len(llava[0]["image"]) == 2  # type: ignore[arg-type]


ODD = [
    None,
    5,
    -1.5,
    True,
    "",
    "x",
    "\ud800",
    [],
    [None],
    [5],
    [[["a"]]],
    ["", None],
    {},
    {"a": [1]},
    [{}],
    "x" * 100_000,
]


@pytest.mark.parametrize("method", ["exact", "minhash", "image"])
def test_odd_values_fail_their_records_and_no_other(method: str, tmp_path: Path) -> None:
    Image.new("RGB", (50, 50), "red").save(tmp_path / "red.png")
    field = "images" if method == "image" else "text"
    good = [str(tmp_path / "red.png")] if method == "image" else "the same old text as ever"
    records = [Record(f"odd{number}", {field: value}) for number, value in enumerate(ODD)]
    records = [Record("first", {field: good}), Record("lacks it", {}), *records, Record("last", {field: good})]
    found = dropped("deduplicate", records, reads=field, method=method)
    assert found["last"] == "duplicate of first"
    assert "first" not in found


def test_a_run_goes_on_past_odd_images(write_recipe: Callable[[str], Path], rows: Callable[..., Path]) -> None:
    rows(
        {"id": "bad", "q": "a", "pics": [None]},
        {"id": "odd", "q": "a", "pics": 5},
        {"id": "good", "q": "b", "pics": []},
    )
    recipe = write_recipe(
        """
engines: {s: {backend: scripted, answer: hi}}
source: {jsonl: rows.jsonl}
steps:
  - set: {images: pics}
  - deduplicate: {reads: images, method: image}
  - generate: {engine: s, prompt: '{{ q }}', writes: response, images: false}
sinks: [{jsonl: o.jsonl}]
"""
    )
    result = api.run(recipe, output=recipe.parent / "out")
    assert {record: reason for record, _, reason in result.failures} == {
        "bad": "field 'images' contains NoneType, not a path or URI",
        "odd": "field 'images' is not a list, but int",
    }
    assert result.counts.done == 1
