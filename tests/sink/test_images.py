"""How datasets name images: relative paths resolve from the dataset, copies go with it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import mminf
from mminf import api
from mminf.image import decode_image

from ..conftest import read_rows

RECIPE = """
engines: {{s: {{backend: scripted, answer: hi}}}}
source: {{images: pictures}}
steps: [generate: {{engine: s, prompt: 'x', writes: instruction}}, set: {{response: instruction}}]
sinks: [{sink}]
"""
SINKS = [
    "{swift: {path: sub/o.jsonl, MORE}}",
    "{llava: {path: o.json, MORE}}",
    "{jsonl: {path: sub/o, rows_per_file: 1, MORE}}",
    "{swift: {path: o, rows_per_file: 2, MORE}}",
]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, colour in enumerate(("red", "green", "blue", "blue")):
        Image.new("RGB", (8, 8), colour).save(folder / f"{number}.png")
    return folder


def named(output: Path) -> list[tuple[Path, str]]:
    """The images of all datasets, each with the folder of the file that names it."""
    found: list[tuple[Path, str]] = []
    for file in sorted(output.rglob("*.json*")):
        if file.name == "manifest.json" or file.name.startswith(".") or file.is_dir():
            continue
        rows: list[Any] = json.loads(file.read_text()) if file.suffix == ".json" else list(map(json.loads, file.open()))
        for row in rows:
            images = row.get("images", row.get("image"))
            found += [(file.parent, image) for image in (images if isinstance(images, list) else [images])]
    return found


@pytest.mark.parametrize("sink", SINKS)
def test_relative_paths_resolve_from_the_datasets_folder(
    sink: str, pictures: Path, write_recipe: Callable[[str], Path], tmp_path: Path
) -> None:
    recipe = write_recipe(RECIPE.format(sink=sink.replace("MORE", "image_paths: relative")))
    real = tmp_path / "far" / "away"
    real.mkdir(parents=True)
    (tmp_path / "link").symlink_to(real)
    for output in (tmp_path / "out", tmp_path / "link" / "out"):
        api.run(recipe, output=output)
        images = named(output)
        assert len(images) == 4
        for folder, image in images:
            assert not image.startswith("/")
            assert os.path.samefile(folder / image, pictures / Path(image).name)


@pytest.mark.parametrize("sink", SINKS)
@pytest.mark.parametrize("paths", ["relative", "absolute"])
def test_copied_images_go_with_the_dataset(
    sink: str, paths: str, pictures: Path, write_recipe: Callable[[str], Path], tmp_path: Path
) -> None:
    recipe = write_recipe(RECIPE.format(sink=sink.replace("MORE", f"copy_images: true, image_paths: {paths}")))
    output = tmp_path / "out"
    api.run(recipe, output=output)
    originals = {path.read_bytes() for path in pictures.iterdir()}
    if paths == "relative":
        shutil.rmtree(pictures)
        output = output.rename(tmp_path / "moved")
    images = named(output)
    assert len(images) == 4
    assert len({image for _, image in images}) == 3, "equal images are one file"
    assert {(folder / image).read_bytes() for folder, image in images} == originals
    assert all(os.path.isabs(image) == (paths == "absolute") for _, image in images)


def test_copies_that_no_row_names_any_more_are_removed_and_nothing_else(
    pictures: Path, write_recipe: Callable[[str], Path], tmp_path: Path
) -> None:
    recipe = write_recipe(RECIPE.format(sink="{swift: {path: o.jsonl, copy_images: true}}"))
    api.run(recipe, output=tmp_path / "out")
    copies = tmp_path / "out" / "o.jsonl.images"
    (copies / "mine.txt").write_text("mine")
    (copies / f"{'0123456789abcdef' * 2}.png").write_text("mine, by its MD5")
    assert len(list(copies.iterdir())) == 5
    api.run(recipe, output=tmp_path / "out", limit=1)
    assert sorted(path.suffix for path in copies.iterdir()) == [".png", ".png", ".txt"]


def test_copies_outlive_their_originals(pictures: Path, write_recipe: Callable[[str], Path], tmp_path: Path) -> None:
    recipe = write_recipe(RECIPE.format(sink="{swift: {path: o.jsonl, copy_images: true}}"))
    api.run(recipe, output=tmp_path / "out")
    before = (tmp_path / "out" / "o.jsonl").read_bytes()
    shutil.move(pictures, tmp_path / "gone")
    written = api.export(mminf.load(recipe), tmp_path / "out")[0]
    assert (written.kept, written.rows, written.left_out) == ("o.jsonl", 0, 4)
    assert (tmp_path / "out" / "o.jsonl").read_bytes() == before
    assert all((folder / image).exists() for folder, image in named(tmp_path / "out") if image)


def test_an_image_that_can_not_be_copied_leaves_its_row_out_and_says_so(
    pictures: Path, write_recipe: Callable[[str], Path], tmp_path: Path
) -> None:
    recipe = write_recipe(
        RECIPE.format(sink="{swift: {path: o.jsonl, copy_images: true}}").replace("'x'", "'x', images: false")
    )
    (pictures / "0.png").unlink()
    (pictures / "0.png").symlink_to("/etc/hostname")
    written = api.run(recipe, output=tmp_path / "out").written[0]
    assert (written.rows, written.left_out) == (3, 1)
    assert "outside the source's folder" in (written.example or "")
    assert len(named(tmp_path / "out")) == 3


def test_rejected_images_of_preference_rows_are_named_alike(
    pictures: Path, write_recipe: Callable[[str], Path], rows: Callable[..., Path], tmp_path: Path
) -> None:
    rows({"id": "a", "images": ["pictures/0.png"], "rejected_images": ["pictures/1.png"], "instruction": "x"})
    recipe = write_recipe(
        RECIPE.format(sink="{jsonl: {path: o.jsonl, copy_images: true, image_paths: relative}}").replace(
            "images: pictures", "jsonl: rows.jsonl"
        )
    )
    api.run(recipe, output=tmp_path / "out")
    row = json.loads((tmp_path / "out" / "o.jsonl").read_text())
    for column, original in (("images", "0.png"), ("rejected_images", "1.png")):
        assert (tmp_path / "out" / row[column][0]).read_bytes() == (pictures / original).read_bytes()


def test_images_are_copied_into_a_store(pictures: Path, write_recipe: Callable[[str], Path]) -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    recipe = write_recipe(RECIPE.format(sink="{swift: {path: a/o.jsonl, copy_images: true, image_paths: relative}}"))
    api.run(recipe, output="memory://copied/out")
    rows = [json.loads(line) for line in store.cat_file("/copied/out/a/o.jsonl").splitlines()]
    assert [store.cat_file(f"/copied/out/a/{row['images'][0]}") for row in rows] == [
        path.read_bytes() for path in sorted(pictures.iterdir())
    ]


def test_copies_are_what_the_models_saw(
    tmp_path: Path, write_recipe: Callable[..., Path], rows: Callable[..., Path]
) -> None:
    """Read with the function that ms-swift reads images of rows with."""
    from swift.template.vision_utils import load_image

    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.new("RGB", (8, 4), "red")
    lying.putpixel((0, 0), (0, 0, 255))
    lying.save(tmp_path / "lying.png", exif=exif)
    clear = Image.new("RGBA", (8, 4), (0, 0, 0, 0))
    clear.save(tmp_path / "clear.png")
    lying.save(tmp_path / "plain.png")
    (tmp_path / "page.jpg").write_text("<html>not an image</html>")
    names = ["lying.png", "clear.png", "plain.png", "page.jpg"]
    rows(*({"id": name, "images": [name], "q": "x", "a": "y"} for name in names))
    recipe = write_recipe(
        "name: r\nsource: {jsonl: rows.jsonl}\nsteps: []\nsinks: [{jsonl: {path: o.jsonl, copy_images: as_seen}}]\n"
    )
    (written,) = mminf.run(recipe, output=tmp_path / "out").written
    assert (written.rows, written.left_out) == (3, 1) and "page.jpg" in str(written.example)
    for row in read_rows(tmp_path / "out" / "o.jsonl"):
        original = tmp_path / row["id"]
        seen = decode_image(original.read_bytes(), "x").pixels
        trained = load_image(row["images"][0])
        assert (trained.size, trained.tobytes()) == (seen.size, seen.tobytes())
        assert (Path(row["images"][0]).read_bytes() == original.read_bytes()) is (row["id"] == "plain.png")
