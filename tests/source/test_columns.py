"""Which columns of rows hold images."""

from __future__ import annotations

import base64
import io
import json
import logging
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import mminf
from mminf.errors import SourceError
from mminf.media import check_other_media
from mminf.plugin import discover
from mminf.record import Record
from mminf.registry import SOURCES
from mminf.source.base import BadRow
from mminf.source.columns import ImageColumns, find_columns, take_images
from mminf.source.guess import guess_source
from mminf.source.tars import natural_order

from ..conftest import tiny_image

discover()


def png(colour: str = "red") -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(data, "PNG")
    return data.getvalue()


B64 = base64.b64encode(png()).decode()


def found(*rows: dict[str, Any]) -> list[tuple[str, ...]]:
    """The columns of each row that its images are taken from."""
    plan = find_columns(rows)
    return [plan.find(row) for row in rows]


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"images": ["a.png"], "image_path": "b.png"}, ("images",)),
        ({"image": "a.png", "mask": {"bytes": png(), "path": None}}, ("image",)),
        ({"image": "a.png", "jpg_0": png(), "jpg_1": png()}, ("image",)),
        ({"image": "a.png", "image_2": "b.png", "image_10": "c.png"}, ("image", "image_2", "image_10")),
        ({"file_name": "a.png", "text": "x"}, ("file_name",)),
        ({"image_path": "x/a.JPG"}, ("image_path",)),
        ({"image_path": "pics/0001"}, ("image_path",)),
        ({"image_path": "missing"}, ("image_path",)),
        ({"img": "a.webp"}, ("img",)),
        ({"img": "a red ball"}, ()),
        ({"jpg": png()}, ("jpg",)),
        ({"jpg": b"<html>404"}, ("jpg",)),
        ({"jpg": b""}, ()),
        ({"picture": {"bytes": png(), "path": "a.png"}}, ("picture",)),
        ({"image_url": "https://h.example/a.png?w=3"}, ("image_url",)),
        ({"image_url": "https://h.example/img?id=3"}, ("image_url",)),
        ({"image_base64": B64}, ("image_base64",)),
        ({"image_0": "a.png", "image_10": "c.png", "image_2": "b.png"}, ("image_0", "image_2", "image_10")),
        ({"image_0": "a.png", "image_1": None, "image_2": ""}, ("image_0",)),
        ({"jpg_0": png(), "jpg_1": png("blue"), "label_0": 1}, ("jpg_0", "jpg_1")),
        ({"image_url": "https://h.example/a.png", "image_path": "a.png"}, ("image_path",)),
        ({"image_0_url": "https://h.example/a", "image_0": "a.png"}, ("image_0",)),
        ({"file_name": "0001.jpg", "img": {"bytes": png(), "path": None}}, ("img",)),
        ({"left": "a.png", "text": "a.png or b.png?"}, ("left",)),
        ({"left": ["a.png", None]}, ("left",)),
        ({"diagram": {"bytes": png(), "path": None}, "caption": "x"}, ("diagram",)),
        ({"photo": "a.png", "thumbnail": "t.png", "depth_map": "d.png"}, ("photo",)),
        ({"thumbnail": "t.png"}, ()),
        ({"text": "See a.png", "file": "notes.txt", "url": "https://h.example/page"}, ()),
        ({"image_id": 7, "image_caption": "a cat"}, ()),
        ({"images": None, "image": "a.png"}, ("image",)),
        ({"images": [None], "image": {"bytes": None, "path": None}}, ()),
    ],
)  # fmt: skip
def test_columns_are_found_by_name_and_content(row: dict[str, Any], columns: tuple[str, ...]) -> None:
    assert found(row) == [columns]


def taken(plan: ImageColumns, row: dict[str, Any]) -> list[object]:
    """The images of a row."""
    return take_images(row, plan.find(row))


def test_rows_that_come_late_are_looked_at_themselves() -> None:
    rows = [{"image_1": "a.png", "q": n} for n in range(200)] + [
        {"image_1": "a.png", "image_2": "b.png"},
        {"photo": "c.png"},
    ]
    plan = find_columns(rows[:100])
    assert taken(plan, rows[-2]) == ["a.png", "b.png"]
    assert taken(plan, rows[-1]) == ["c.png"]


def test_one_bad_value_is_its_own_rows_matter() -> None:
    rows = [{"image_path": "a.png"}, {"image_path": "N/A"}, {"image_path": None}, {"image_path": "b.png"}]
    assert found(*rows) == [("image_path",), ("image_path",), (), ("image_path",)]


def test_different_images_under_names_of_one_rank_must_be_told_apart() -> None:
    with pytest.raises(SourceError, match="columns img, photo contain different images"):
        find_columns([{"img": "a.png", "photo": "b.png"}])
    assert found({"img": "a.png", "photo": "a.png"}) == [("img",)]


def test_columns_that_a_recipe_names_must_be_there(rows: Callable[..., Path]) -> None:
    with pytest.raises(SourceError, match="rows don't have: 'picc'; did you mean 'pic'"):
        read(rows({"id": "a", "pic": "a.png"}), columns={"image": "picc"})
    (record,) = read(rows({"id": "a", "left": None, "images": ["b.png"]}), columns={"image": "left"})
    assert isinstance(record, Record) and "images" not in record.fields


def test_each_row_takes_what_it_has() -> None:
    plan = find_columns([{"file_name": "a.png"}, {"image_path": "b.png"}])
    assert [taken(plan, row) for row in ({"file_name": "a.png"}, {"image_path": "b.png"}, {"text": "x"})] == [
        ["a.png"],
        ["b.png"],
        [],
    ]
    assert taken(plan, {"images": None, "image": "c.png"}) == ["c.png"]
    assert taken(plan, {"images": [None, "d.png"]}) == ["d.png"]


def test_several_columns_with_other_names_must_be_told_apart() -> None:
    with pytest.raises(SourceError, match=r"columns left, right contain images.*columns: \{image: left\}"):
        find_columns([{"left": "a.png", "right": "b.png"}])


def read(path: Path, **settings: Any) -> list[Record | BadRow]:
    kind, body = next(iter(guess_source(str(path)).items()))
    cls = SOURCES.get(kind)
    source = cls(cls.Config.model_validate({**body, **settings}), Path("/"), path.parent / "scratch")
    source.check()
    return list(source.read())


def images(record: Record | BadRow) -> list[str]:
    assert isinstance(record, Record), record
    return list(record.fields["images"])


@pytest.mark.parametrize(
    "row",
    [
        {"video": {"bytes": b"x", "path": None}}, {"mp4": "a.mp4"}, {"clip": "s3://b/c.mp4"}, {"video_path": "v"}, {"Videos": ["v.mp4"]},
        {"audio_path": ["a.wav"]}, {"messages": [{"role": "user", "content": "x", "videos": ["v.mp4"]}]},
        {"messages": [{"role": "user", "content": {"type": "video", "video": "v.mp4"}}]}, {"messages": {"role": ["user"], "content": ["<video>x"]}},
        {"rejected_messages": [{"role": "assistant", "content": "<video>x"}]}, {"messages": '[{"role": "user", "content": "<audio>x"}]'},
    ],
    ids=str,
)  # fmt: skip
def test_video_and_audio_in_any_form_fail(row: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not supported|content of type video"):
        check_other_media(row)


@pytest.mark.parametrize(
    "row",
    [
        {"video": None}, {"videos": [""]}, {"video": {"bytes": None, "path": None}}, {"videos": [None]}, {"response": "song.mp3"},
        {"images": ["f.png"], "source": "film.mp4"}, {"images": ["f.png"], "video_path": "film.mp4"}, {"video_id": "x"},
    ],
    ids=str,
)  # fmt: skip
def test_what_only_speaks_of_video_passes(row: dict[str, Any]) -> None:
    check_other_media(row)


def test_a_recipe_maps_columns(tmp_path: Path, rows: Callable[..., Path]) -> None:
    path = rows({"left": "a.png", "right": "b.png", "ask": "What?"})
    (record,) = read(path, columns={"image": ["left", "right"], "instruction": "ask"})
    assert images(record) == [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    assert isinstance(record, Record) and record.fields["instruction"] == "What?"
    (other,) = read(path, columns={"images": "right"})
    assert images(other) == [str(tmp_path / "b.png")]


def test_images_below_another_root(tmp_path: Path, rows: Callable[..., Path]) -> None:
    path = (
        rows({"id": "a", "image": "coco/a.png"}, name="notes/rows.jsonl")
        if (tmp_path / "notes").mkdir() is None
        else None
    )
    (tmp_path / "data" / "coco").mkdir(parents=True)
    tiny_image(tmp_path / "data" / "coco" / "a.png")
    (tmp_path / "r.yaml").write_text(
        "engines: {e: {backend: scripted, answer: x}}\nsource: {jsonl: none.jsonl}\n"
        "steps:\n  - generate: {engine: e, prompt: '{{ images }}What?'}\nsinks:\n  - jsonl: out.jsonl\n"
    )
    result = mminf.run(tmp_path / "r.yaml", input=path, image_root=tmp_path / "data", output=tmp_path / "out")
    assert (result.counts.done, result.counts.failed) == (1, 0)
    lost = mminf.run(tmp_path / "r.yaml", input=path, output=tmp_path / "lost")
    assert "does not exist" in str(lost.failures[0][2])


def test_null_equals_absent(tmp_path: Path, rows: Callable[..., Path]) -> None:
    path = rows(
        {"id": "a", "images": None},
        {"id": "b", "images": None, "image": "a.png"},
        {"id": "c", "image": None},
        {"id": "d", "images": [None]},
    )
    found = {record.id: record.fields.get("images") for record in read(path) if isinstance(record, Record)}
    assert found == {"a": None, "b": [str(tmp_path / "a.png")], "c": None, "d": [None]}


@pytest.mark.parametrize("empty", ["", {}, {"bytes": None, "path": None}], ids=["text", "object", "feature"])
def test_other_forms_of_no_image_equal_absent(empty: Any, rows: Callable[..., Path]) -> None:
    (record,) = read(rows({"id": "a", "images": empty}))
    assert isinstance(record, Record) and "images" not in record.fields


def test_embedded_images_are_written_once(tmp_path: Path, rows: Callable[..., Path]) -> None:
    path = rows(
        {"id": "a", "images": [B64]},
        {"id": "b", "image": f"data:image/png;base64,{B64}"},
        {"id": "c", "image_base64": B64},
        {"id": "d", "images": ["QUFB" * 100_000]},
    )
    first, second, third, broken = read(path)
    assert images(first) == images(second)
    assert Path(images(first)[0]).read_bytes() == png()
    assert images(third) == images(first)
    assert isinstance(broken, BadRow) and len(broken.reason) <= 300
    (only,) = read(rows({"id": "c", "image_base64": B64}, name="only.jsonl"))
    assert images(only) == images(first)
    assert isinstance(only, Record) and "image_base64" not in only.fields, "the journal does not hold it twice"


def test_binary_columns_that_are_not_needed_are_left_out_with_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [
        {
            "id": str(n),
            "image": {"bytes": png(), "path": None},
            "mask": {"bytes": png(), "path": None},
            "vector": b"\0\1",
            "parts": [b"\2"],
            "n": n,
        }
        for n in range(3)
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    with caplog.at_level(logging.INFO, "mminf"):
        found = read(tmp_path / "rows.parquet")
    assert [set(record.fields) for record in found if isinstance(record, Record)] == [
        {"id", "image", "images", "n"} - {"image"}
    ] * 3
    assert [record.message for record in caplog.records] == ["binary data is left out: column mask, vector, parts"]


def test_any_image_feature(tmp_path: Path) -> None:
    import datasets

    made = datasets.Dataset.from_list([{"id": "a", "diagram": Image.new("RGB", (4, 4), "red"), "text": "t"}])
    made = made.cast_column("diagram", datasets.Image())
    made.save_to_disk(str(tmp_path / "ds"))
    (record,) = read(tmp_path / "ds")
    with Image.open(images(record)[0]) as image:
        assert image.getpixel((0, 0)) == (255, 0, 0)


def test_other_media_of_a_dataset_fail_their_rows(tmp_path: Path) -> None:
    import datasets

    (tmp_path / "a.wav").write_bytes(b"RIFF")
    (tmp_path / "b.mp4").write_bytes(b"film")
    rows = [
        {"id": "a", "sound": str(tmp_path / "a.wav"), "film": None},
        {"id": "b", "sound": None, "film": str(tmp_path / "b.mp4")},
        {"id": "c", "sound": None, "film": None},
    ]
    made = datasets.Dataset.from_list(rows)
    made = made.cast_column("sound", datasets.Audio()).cast_column("film", datasets.Video())
    made.save_to_disk(str(tmp_path / "ds"))
    first, second, third = read(tmp_path / "ds")
    for bad in (first, second):
        assert isinstance(bad, BadRow) and "video and audio are not supported" in bad.reason
    assert isinstance(third, Record)


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_numbered_members_of_a_tar_come_in_natural_order(tmp_path: Path) -> None:
    assert sorted(["10.jpg", "jpg", "2.jpg", "1.jpg"], key=natural_order) == ["jpg", "1.jpg", "2.jpg", "10.jpg"]
    colours = ["red", "green", "blue", "white", "black", "grey", "pink", "tan", "navy", "gold", "teal", "plum"]
    members = {f"a.{n}.png" if n else "a.png": png(colour) for n, colour in enumerate(colours)}
    path = write_tar(tmp_path / "s.tar", {"a.json": json.dumps({"q": 1}).encode(), **dict(sorted(members.items()))})
    (record,) = read(path)
    assert [Path(uri).read_bytes() for uri in images(record)] == [png(colour) for colour in colours]


def test_masks_of_a_tar_are_taken_by_name_only(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "s.tar", {"a.jpg": png(), "a.mask.png": png("blue"), "a.svg": b"x"})
    assert [Path(uri).read_bytes() for uri in images(read(path)[0])] == [png()]
    named = read(path, columns={"image": ["mask.png", "jpg"]})
    assert [Path(uri).read_bytes() for uri in images(named[0])] == [png("blue"), png()]


def test_video_members_of_a_tar_fail_their_sample(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "s.tar", {"a.png": png(), "a.mp4": b"x", "b.png": png()})
    first, second = read(path)
    assert isinstance(first, BadRow) and "video and audio are not supported" in first.reason
    assert isinstance(second, Record)


def test_rows_with_video_fail_and_no_other(rows: Callable[..., Path]) -> None:
    first, second = read(
        rows({"id": "a", "videos": ["v.mp4"], "instruction": "<video>What?"}, {"id": "b", "instruction": "What?"})
    )
    assert isinstance(first, BadRow) and "video and audio are not supported" in first.reason
    assert isinstance(second, Record)


def test_what_was_found_is_told_once_before_the_first_call(
    write_recipe: Callable[[str], Path], rows: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny_image(tmp_path / "a.png")
    recipe = write_recipe(
        "engines: {e: {backend: scripted, answer: x}}\nsource: {jsonl: rows.jsonl}\n"
        "steps:\n  - generate: {engine: e, prompt: '{{ images }}What?'}\n"
    )
    rows({"id": "1", "photo_path": "a.png"}, {"id": "2", "photo_path": "a.png"})
    with caplog.at_level(logging.INFO, "mminf"):
        result = mminf.run(recipe, output=tmp_path / "out")
    assert result.counts.done == 2
    lines = [record.message for record in caplog.records]
    told = [number for number, line in enumerate(lines) if "images are in column photo_path" in line]
    loaded = next(number for number, line in enumerate(lines) if line.startswith("loading"))
    assert len(told) == 1 and told[0] < loaded
