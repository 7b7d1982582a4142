"""`mminf recipes` and `mminf steps`: every bundled recipe and every member can be described, and recipes copied."""

from __future__ import annotations

from pathlib import Path

import pytest

from mminf import api
from mminf.content import builtin_recipes
from mminf.recipe.lines import load_document

from .typed import error_of, output_of

RECIPES = sorted(builtin_recipes())
MEMBERS = [(kind, name) for kind, members in api.list_members().items() for name in members]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_described(name: str) -> None:
    text = output_of("recipes", name)
    recipe = api.load(name)
    for step in {step.name.partition(".")[0] for step in recipe.steps}:
        assert f" {step}" in text
    for engine in recipe.engines.values():
        assert engine.model in text
    for sink in recipe.sinks:
        assert str(sink.config.path) in text
    assert f"mminf run {name} " in text and "per record" in text
    description = api.list_recipes()[name]
    assert " ".join(description.split()) in " ".join(text.split())


@pytest.mark.parametrize("name", RECIPES)
def test_a_copy_has_all_templates(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = api.copy_recipe(name, tmp_path)
    monkeypatch.setattr("mminf.api.content_folder", lambda kind: tmp_path / "nothing")
    assert set(files) == {path for path in tmp_path.rglob("*") if path.is_file()}
    for profile in [None, *(load_document(files[0]).data.get("profiles") or {})]:
        copied = api.load(files[0], profile=profile)
        assert all(path.is_relative_to(tmp_path) for path in copied.templates.values())
        monkeypatch.undo()
        assert copied.resolved()["steps"] == api.load(name, profile=profile).resolved()["steps"]
        monkeypatch.setattr("mminf.api.content_folder", lambda kind: tmp_path / "nothing")


def test_a_copy_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "templates" / "oasis").mkdir(parents=True)
    mine = tmp_path / "templates" / "oasis" / "clarity.jinja"
    mine.write_text("mine")
    assert str(mine) in error_of("recipes", "oasis", "--copy", str(tmp_path))
    assert mine.read_text() == "mine"
    assert not (tmp_path / "oasis.yaml").exists()
    output_of("recipes", "oasis", "--copy", str(tmp_path), "--force")
    assert mine.read_text() != "mine"


def test_rounds_are_described_once() -> None:
    text = output_of("recipes", "mmevol")
    assert "evolve (generate) in at most" in text and "evolve.2" not in text


@pytest.mark.parametrize(("kind", "name"), MEMBERS)
def test_a_member_is_described(kind: str, name: str) -> None:
    text = output_of("steps", name)
    found = next(item for item in api.describe_member(name) if kind.startswith(item["kind"]))
    assert found["documentation"] and found["documentation"].splitlines()[0].split()[0] in text
    for key in found["keys"]:
        assert f"  {key.name} (" in text


def test_the_example_of_a_step_is_from_a_recipe() -> None:
    text = output_of("steps", "score")
    assert "example, from " in text and "score:" in text


def test_unknown_names_are_told() -> None:
    assert "did you mean 'score'" in error_of("steps", "scor")
    assert "did you mean 'oasis'" in error_of("recipes", "oasi")
    assert "name a recipe" in error_of("recipes", "--copy", "x")


def test_a_recipe_tells_what_its_input_needs_and_how_to_try_it() -> None:
    text = output_of("recipes", "mammoth_vl")
    assert "input     jsonl, records with the fields answer, instruction, images\n" in text
    assert "mminf run mammoth_vl --profile demo --output FOLDER" in text
    assert "mminf run mammoth_vl --input INPUT --output FOLDER" in text


def test_a_recipe_without_input_is_not_given_one() -> None:
    text = output_of("recipes", "magpie")
    assert "--set source.blank=N" in text
    assert "--input" not in text
