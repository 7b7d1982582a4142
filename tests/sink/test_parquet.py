"""Parquet files, and datasets of several files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import mminf
import mminf.journal.mirror
from mminf.sink.shards import MANIFEST

from ..conftest import read_rows, tiny_image

PARQUET = """
name: parquet
source: {jsonl: rows.jsonl}
steps: [{keep: "true"}]
sinks: [{parquet: %s}]
"""


def test_parquet_out_is_what_datasets_reads(tmp_path: Path, images: Path, store_recipe: Path) -> None:
    import datasets

    mminf.run(store_recipe, input=images, output=tmp_path / "out")
    files = sorted(str(path) for path in (tmp_path / "out" / "table").glob("*.parquet"))
    assert len(files) == 3
    found = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "hf"))
    assert found.num_rows == 12
    assert found[7]["images"][0].size == Image.open(images / "007.png").size
    assert found[7]["said"] == read_rows(tmp_path / "out" / "rows.jsonl")[7]["said"]
    # And in again: the images are those that went out.
    again = mminf.run(store_recipe, input=tmp_path / "out" / "table", output=tmp_path / "again")
    assert again.counts.done == 12
    said = [[row["said"] for row in read_rows(tmp_path / name / "rows.jsonl")] for name in ("out", "again")]
    assert said[0] == said[1]


def test_parquet_takes_whatever_fields_hold(
    tmp_path: Path, rows: Callable[..., Path], write_recipe: Callable[..., Path]
) -> None:
    import pyarrow.parquet

    mixed = [{"id": f"r{n}", "number": n, "mixed": [1, "a", {"x": 1}, None][n % 4], "late": None} for n in range(1200)]
    mixed[1100] |= {"late": 1.5, "new": [{"a": 1}], "empty": {}}
    mixed[3] |= {"deep": {"m": {"tags": {}}}, "many": [{}], "big": 2**60 + 1}
    mixed[1101] |= {"deep": {"m": 1}, "big": 0.5}
    rows(*mixed)
    recipe = write_recipe(PARQUET % "all.parquet")
    assert mminf.run(recipe, output=tmp_path / "out").counts.done == 1200
    table = pyarrow.parquet.read_table(tmp_path / "out" / "all.parquet").to_pylist()
    assert [row["id"] for row in table] == [f"r{n}" for n in range(1200)]
    assert (table[1100]["late"], table[1100]["new"], table[0]["late"]) == (1.5, [{"a": 1}], None)
    assert (table[3]["deep"], table[3]["many"], table[1101]["big"]) == ('{"m": {"tags": {}}}', "[{}]", 0.5)
    assert [row["mixed"] for row in table[:4]] == ["1", "a", '{"x": 1}', None]


def test_files_of_so_many_rows_and_their_manifest(
    tmp_path: Path, rows: Callable[..., Path], write_recipe: Callable[..., Path]
) -> None:
    import hashlib

    rows(*({"id": f"r{n}", "text": f"é {n}"} for n in range(7)))
    recipe = write_recipe(
        "name: many\nsource: {jsonl: rows.jsonl}\nsteps: [{keep: 'true'}]\nsinks: [{jsonl: {path: data, rows_per_file: 3}}]\n"
    )
    mminf.run(recipe, output=tmp_path / "out")
    folder = tmp_path / "out" / "data"
    manifest = json.loads((folder / MANIFEST).read_text())
    assert [(file["name"], file["rows"]) for file in manifest["files"]] == [
        ("00000.jsonl", 3),
        ("00001.jsonl", 3),
        ("00002.jsonl", 1),
    ]
    for file in manifest["files"]:
        data = (folder / file["name"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file["bytes"], file["sha256"])
    # Fewer files the next time: none of the old ones stays.
    mminf.run(recipe, output=tmp_path / "out", limit=2)
    assert sorted(path.name for path in folder.iterdir()) == ["00000.jsonl", MANIFEST]
    assert [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("sink", ["parquet: {path: o.parquet, embed_images: true}", "webdataset: o"])
def test_a_file_that_is_no_image_is_not_embedded(
    tmp_path: Path, rows: Callable[..., Path], write_recipe: Callable[..., Path], sink: str
) -> None:
    tiny_image(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("<html>not found</html>")
    rows({"id": "a", "images": ["a.png"]}, {"id": "b", "images": ["b.png"]}, {"id": "c", "images": ["gone.png"]})
    recipe = write_recipe((PARQUET % "x").replace("{parquet: x}", sink))
    (written,) = mminf.run(recipe, output=tmp_path / "out").written
    assert (written.rows, written.left_out) == (1, 2)
    assert "b.png' is not an image in a format that mminf knows" in str(written.example)
