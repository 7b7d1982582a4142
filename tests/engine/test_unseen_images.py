"""Images that no step of a recipe opens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mminf

from ..conftest import tiny_image

Recipe = Callable[..., Path]


@pytest.mark.parametrize(
    ("steps", "sink", "told"),
    [
        ("[]", "jsonl: out.jsonl", True),
        ("[generate: {engine: e, prompt: hi, images: false, writes: a}]", "jsonl: out.jsonl", True),
        ("[{image_size: {}}]", "jsonl: out.jsonl", False),
        ("[]", "jsonl: {path: out.jsonl, copy_images: true}", False),
        ("[]", "parquet: {path: out.parquet, embed_images: true}", False),
        ("[]", "webdataset: out", False),
    ],
)
def test_images_that_nothing_opens_are_told(
    steps: str, sink: str, told: bool, write_recipe: Recipe, rows: Callable[..., Path], tmp_path: Path, caplog: Any
) -> None:
    tiny_image(tmp_path / "a.png", "red")
    rows({"id": "a", "images": ["a.png"]}, {"id": "b", "images": ["a.png"]})
    engine = "engines: {e: {backend: scripted, answer: hi}}\n" if "engine" in steps else ""
    recipe = write_recipe(f"{engine}source: {{jsonl: rows.jsonl}}\nsteps: {steps}\nsinks: [{sink}]\n")
    with caplog.at_level("INFO", logger="mminf"):
        mminf.run(recipe, output=tmp_path / "out")
    assert ("nothing opens the images of the records" in caplog.text) is told
