"""Locations of the recipes, templates and models that are bundled with mminf."""

from __future__ import annotations

from pathlib import Path

from mminf.errors import RecipeError, nearest


def content_folder(kind: str) -> Path:
    """Returns the folder of the bundled `recipes`, `templates` or `models`, installed or in a checkout."""
    import mminf_content

    package = Path(str(mminf_content.__file__)).parent
    return package / kind if (package / kind).is_dir() else package.parent / kind


def content_file(name: str) -> Path:
    """Returns a bundled file with facts, such as `citations.yaml`."""
    import mminf_content

    return Path(str(mminf_content.__file__)).parent / name


_RUN = "journal.sqlite"
"""What the output folder of a run has."""


def find_recipe(name: str) -> Path:
    """Returns the file of a recipe, given by its path or, for a bundled recipe, by its name.

    Raises:
        RecipeError: if there is no such recipe.
    """
    from mminf.errors import Problem

    path = Path(name).expanduser()
    if path.is_file():
        return path.resolve()
    if (path / _RUN).is_file():
        example = f"give the recipe's file or name, with `--output {path}`"
        raise RecipeError([Problem(name, f"this is the output of a run, not a recipe; {example}")])
    known = builtin_recipes()
    if path.suffix in (".yaml", ".yml") or "/" in name:
        raise RecipeError([Problem(name, "recipe file does not exist")])
    beside = next((file for file in (path.with_suffix(".yaml"), path.with_suffix(".yml")) if file.is_file()), None)
    if name not in known and beside is not None:
        raise RecipeError([Problem(name, f"no bundled recipe has this name; there is a file {beside}")])
    if name not in known:
        raise RecipeError([Problem(name, f"no bundled recipe has this name{nearest(name, known)}")])
    return known[name]


def builtin_recipes() -> dict[str, Path]:
    """Returns the bundled recipes, by name."""
    return {path.stem: path for path in sorted(content_folder("recipes").glob("*.yaml"))}
