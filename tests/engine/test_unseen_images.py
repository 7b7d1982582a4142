"""Images that no step of a recipe opens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mminf

from ..conftest import tiny_image

Recipe = Callable[..., Path]


@pytest.mark.parametrize(("steps", "told"), [("[]", True), ("[{image_size: {}}]", False)])
def test_images_that_no_step_opens_are_told(
    steps: str, told: bool, write_recipe: Recipe, rows: Callable[..., Path], tmp_path: Path, caplog: Any
) -> None:
    tiny_image(tmp_path / "a.png", "red")
    rows({"id": "a", "images": ["a.png"]}, {"id": "b", "images": ["a.png"]})
    recipe = write_recipe(f"source: {{jsonl: rows.jsonl}}\nsteps: {steps}\nsinks: [jsonl: out.jsonl]\n")
    with caplog.at_level("INFO", logger="mminf"):
        mminf.run(recipe, output=tmp_path / "out")
    assert ("no step opens the images of the records" in caplog.text) is told
