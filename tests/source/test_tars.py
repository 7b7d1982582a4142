"""Tar shards, in files and in stores."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mminf
import mminf.journal.mirror
from mminf import api
from mminf.sink.shards import MANIFEST

from ..conftest import read_rows
from ..stores import picture, put


def write_tars(folder: Any, shards: int, samples: int) -> None:
    import webdataset

    for shard in range(shards):
        file = io.BytesIO()
        with webdataset.TarWriter(file) as writer:
            for number in range(samples):
                writer.write(
                    {
                        "__key__": f"dir/{shard}-{number}",
                        "png": picture(10 * shard + number),
                        "json": {"text": f"{shard} {number}", "id": "same", "images": ["/elsewhere.png"]},
                        "txt": "a caption",
                        "npy": b"numbers",
                    }
                )
        put(folder, {f"shard-{shard:03}.tar": file.getvalue()})


TARS = """
name: tars
source: {webdataset: tars}
steps: [{image_size: {}}]
sinks:
  - jsonl: out.jsonl
  - webdataset: {path: again, columns: [text, txt], rows_per_file: 7}
"""


@pytest.mark.parametrize("given", ["tars", "tars/shard-*.tar", "uri"])
def test_tar_shards_in_and_out(given: str, tmp_path: Path, memory: Any, write_recipe: Callable[..., Path]) -> None:
    write_tars(tmp_path / "tars", 3, 5)
    if given == "uri":
        write_tars(memory / "tars", 3, 5)
    recipe = write_recipe(TARS)
    name = f"{memory}/tars" if given == "uri" else str(tmp_path / given)
    result = mminf.run(recipe, input=name, output=tmp_path / "out")
    assert result.counts.done == 15
    rows = read_rows(tmp_path / "out" / "out.jsonl")
    assert [row["id"] for row in rows[:2]] == ["shard-000.tar/dir/0-0", "shard-000.tar/dir/0-1"]
    assert (rows[7]["text"], rows[7]["txt"], rows[7]["width"]) == ("1 2", "a caption", 16)
    assert Path(str(rows[7]["images"][0])).read_bytes() == picture(12)  # type: ignore[index]
    import webdataset

    found = list(
        webdataset.WebDataset(
            [str(path) for path in sorted((tmp_path / "out" / "again").glob("*.tar"))], shardshuffle=False
        )
    )
    assert len(found) == 15
    assert json.loads(found[7]["json"]) == {"text": "1 2", "txt": "a caption", "id": "shard-001.tar/dir/1-2"}
    assert found[7]["png"] == picture(12)
    manifest = json.loads((tmp_path / "out" / "again" / MANIFEST).read_text())
    assert [file["rows"] for file in manifest["files"]] == [7, 7, 1]


@pytest.mark.parametrize("of", [2, 9])
def test_parts_share_tar_shards(of: int, tmp_path: Path, write_recipe: Callable[..., Path]) -> None:
    """Whole shards where there are enough of them, samples where there aren't: the same dataset."""
    write_tars(tmp_path / "tars", 5, 3)
    recipe = write_recipe(TARS)
    mminf.run(recipe, output=tmp_path / "whole")
    for number in range(of):
        api.run(recipe, output=tmp_path / "cut", shard=f"{number}/{of}")
    assert api.merge(api.prepare(api.load(recipe), output=tmp_path / "cut")).counts.done == 15
    whole, cut = (read_rows(tmp_path / name / "out.jsonl") for name in ("whole", "cut"))
    assert [{**row, "images": 0} for row in whole] == [{**row, "images": 0} for row in cut]
    for number in range(of):
        api.run(recipe, output=tmp_path / "few", shard=f"{number}/{of}", limit=7)
    few = api.merge(api.prepare(api.load(recipe), output=tmp_path / "few", limit=7))
    assert few.counts.done == 7


def test_a_sample_in_two_places_is_told(tmp_path: Path, write_recipe: Callable[..., Path]) -> None:
    (tmp_path / "tars").mkdir()
    with tarfile.open(tmp_path / "tars" / "a.tar", "w") as tar:
        for name, data in (("a.png", picture()), ("b.png", picture()), ("a.json", b"{}")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    result = mminf.run(write_recipe(TARS), output=tmp_path / "out")
    assert (result.counts.done, result.counts.failed) == (2, 1)
    assert result.failures[0][0] == "a.tar/a~2"
    assert "files must be adjacent" in str(result.failures[0][2])


def test_broken_tars_and_samples_fail_alone(tmp_path: Path, write_recipe: Callable[..., Path]) -> None:
    write_tars(tmp_path / "tars", 2, 3)
    whole = (tmp_path / "tars" / "shard-000.tar").read_bytes()
    (tmp_path / "tars" / "shard-000.tar").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "tars" / "shard-002.tar").write_bytes(b"no tar at all")
    with tarfile.open(tmp_path / "tars" / "shard-003.tar", "w") as tar:
        for name, data in (("a.json", b"{no"), ("a.png", picture()), ("b.png", picture()), ("c.txt", b"\xff\xfe")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    result = mminf.run(write_recipe(TARS), output=tmp_path / "out", overrides={"steps.image_size.attempts": 1})
    failures = {record: reason for record, _, reason in result.failures}
    assert "shard-000.tar can't be read after" in str(next(r for i, r in failures.items() if i.startswith("shard-000")))
    assert "can't be read after 0 samples" in str(failures["shard-002.tar~end"])
    assert "can't be read" in str(failures["shard-003.tar/a"])
    assert "can't be read" in str(failures["shard-003.tar/c"])
    ids = [str(row["id"]) for row in read_rows(tmp_path / "out" / "out.jsonl")]
    assert "shard-003.tar/b" in ids
    assert sum(name.startswith("shard-001") for name in ids) == 3


def test_memory_does_not_grow_with_the_number_of_samples(tmp_path: Path) -> None:
    """A source yields as it reads: after the first of many samples, little of the tar was read."""
    from mminf.recipe.config import SourceConfig
    from mminf.source.tars import WebDataset

    write_tars(tmp_path / "tars", 1, 400)

    class Watched(io.FileIO):
        at = 0

        def read(self, size: int = -1) -> bytes:
            data = super().read(size) or b""
            Watched.at += len(data)
            return data

    source = WebDataset(SourceConfig(path=tmp_path / "tars" / "shard-000.tar"), tmp_path, tmp_path / "images")
    from mminf.source import tars

    original = tars.open_bytes
    tars.open_bytes = lambda path: Watched(path)  # type: ignore[assignment, return-value]
    try:
        rows = source.read()
        next(rows)
        assert 0 < Watched.at < os.path.getsize(tmp_path / "tars" / "shard-000.tar") / 4
        assert len(list(rows)) == 399
    finally:
        tars.open_bytes = original
