"""The page about the methods names only what exists: recipes, files, profiles and steps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "fidelity.md").read_text(encoding="utf-8")
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
LOADED: list[dict[str, Any]] = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in RECIPES]
HEADER, STATUS = ["fact", "source", "mminf", "status"], re.compile(r"same|(?:differs|not yet|out of scope): \S.*")
FOLDERS = ("recipes/", "templates/", "plugins/", "docs/", "mminf/", "scripts/")


def cells_of(line: str) -> list[str]:
    """Returns the cells of a row; `\\|` is not a separator."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def rows() -> Iterator[list[str]]:
    """Yields the rows of the tables of facts."""
    for table in re.findall(r"(?:^\|.*\n?)+", PAGE, re.MULTILINE):
        header, _, *lines = table.splitlines()
        if cells_of(header) != ["status", "meaning"]:  # the legend
            assert cells_of(header) == HEADER
            yield from map(cells_of, lines)


def names_after(word: str) -> set[str]:
    """Returns the names in code after a word: "profiles `a` and `b`", "`--profile a,b`"."""
    lists = re.findall(rf"\b{word}s? ((?:`[\w.-]+`(?:, and |, | and )?)+)", PAGE)
    options = re.findall(rf"--{word} ([\w.,-]+)", PAGE)
    return {name for found in lists for name in re.findall(r"`([^`]+)`", found)}.union(
        *(found.split(",") for found in options)
    )


def steps_in(value: object) -> Iterator[str]:
    """Yields the types and names of the steps in a recipe, in its repeats and in the insertions of its profiles."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "steps" and isinstance(inner, list):
                for step in inner:
                    ((kind, config),) = step.items()
                    yield kind
                    if isinstance(config, dict) and "name" in config:
                        yield config["name"]
            yield from steps_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from steps_in(inner)


STEPS = {name for recipe in LOADED for name in steps_in(recipe)}


def test_every_row_has_a_fact_a_source_a_place_and_a_status() -> None:
    found = list(rows())
    assert len(found) > 100
    assert [row for row in found if len(row) != len(HEADER) or not all(row)] == []
    assert [row for row in found if STATUS.fullmatch(row[-1]) is None] == []


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_on_the_page(path: Path) -> None:
    assert f"`recipes/{path.name}`" in PAGE


def test_the_files_on_the_page_exist() -> None:
    code = set(re.findall(r"`([^`\n]+)`", PAGE))
    files = {text for text in code if text.startswith(FOLDERS)}
    assert len(files) > 50
    assert [name for name in sorted(files) if not (ROOT / name).is_file()] == []
    assert [text for text in sorted(code - files) if text.endswith((".jinja", ".yaml", "requests.txt"))] == []


def test_the_profiles_on_the_page_exist() -> None:
    named = names_after("profile")
    assert {"paper", "nll", "all_styles"} <= named
    assert named <= {profile for recipe in LOADED for profile in recipe.get("profiles", {})}


def test_the_steps_on_the_page_exist() -> None:
    named = names_after("step") | set(re.findall(r"\bsteps\.(\w+)[.=]", PAGE))
    assert {"hook", "web_caption", "kind"} <= named
    assert named - STEPS == set()
