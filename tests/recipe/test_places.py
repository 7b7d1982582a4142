"""Where a recipe finds its templates, and settings of a source that is given as a bare value."""

from __future__ import annotations

from pathlib import Path

import pytest

import mminf

RECIPE = """
name: r
engines: {s: {backend: scripted, answer: hi}}
source: {blank: 5}
steps: [generate: {engine: s, template: mine/ask.jinja, writes: x}]
sinks: [jsonl: o.jsonl]
"""


@pytest.mark.parametrize("folder", ["recipes", "converted"])
def test_the_templates_next_to_a_recipe_are_its_own(folder: str, tmp_path: Path) -> None:
    for place, text in ((tmp_path, "above"), (tmp_path / folder, "own")):
        (place / "templates" / "mine").mkdir(parents=True)
        (place / "templates" / "mine" / "ask.jinja").write_text(text)
    (tmp_path / folder / "r.yaml").write_text(RECIPE)
    loaded = mminf.load(tmp_path / folder / "r.yaml")
    assert loaded.templates["mine/ask.jinja"] == tmp_path / folder / "templates" / "mine" / "ask.jinja"


def test_a_folder_of_recipes_has_its_templates_beside_it(tmp_path: Path) -> None:
    (tmp_path / "templates" / "mine").mkdir(parents=True)
    (tmp_path / "templates" / "mine" / "ask.jinja").write_text("beside")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "r.yaml").write_text(RECIPE)
    assert mminf.load(tmp_path / "recipes" / "r.yaml").templates["mine/ask.jinja"].read_text() == "beside"


def test_an_edited_copy_of_a_bundled_template_is_used(tmp_path: Path) -> None:
    from mminf import api

    files = api.copy_recipe("caption", tmp_path / "recipes")
    edited = next(path for path in files if path.name == "caption.jinja")
    edited.write_text("MY EDIT {{ images }}")
    loaded = mminf.load(tmp_path / "recipes" / "caption.yaml")
    assert loaded.templates["captions/caption.jinja"].read_text() == "MY EDIT {{ images }}"


@pytest.mark.parametrize(
    ("recipe", "setting", "field", "value"),
    [
        ("magpie", "source.blank.count=30", "count", 30),
        ("verifiable", "source.drawn.count=300", "count", 300),
        ("verifiable", "source.drawn.size=112", "size", 112),
        ("oasis", "source.images.max_image_pixels=1000", "max_image_pixels", 1000),
    ],
)
def test_a_setting_of_a_source_with_a_bare_value(recipe: str, setting: str, field: str, value: int) -> None:
    profile = "demo" if "drawn" in setting else None
    loaded = mminf.load(recipe, profile=profile, settings=[setting])
    assert loaded.source is not None
    assert getattr(loaded.source.config, field) == value
    if field == "size":
        assert loaded.source.config.count == 24, "the bare value is kept"
