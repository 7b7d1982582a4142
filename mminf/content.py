"""Where the recipes, templates and models are that mminf brings along."""

from __future__ import annotations

from pathlib import Path

from mminf.errors import RecipeError, nearest


def content_folder(kind: str) -> Path:
    """Returns the folder of the `recipes`, `templates` or `models` that came with mminf, installed or in a checkout."""
    import mminf_content

    package = Path(str(mminf_content.__file__)).parent
    return package / kind if (package / kind).is_dir() else package.parent / kind


def find_recipe(name: str) -> Path:
    """Returns the file of a recipe, given by its path or, for one that mminf brings along, by its name.

    Raises:
        RecipeError: if there is none.
    """
    from mminf.errors import Problem

    path = Path(name).expanduser()
    if path.is_file():
        return path.resolve()
    known = builtin_recipes()
    if path.suffix in (".yaml", ".yml") or "/" in name:
        raise RecipeError([Problem(name, "recipe file is not there")])
    if name not in known:
        raise RecipeError([Problem(name, f"no recipe of that name{nearest(name, known)}")])
    return known[name]


def builtin_recipes() -> dict[str, Path]:
    """Returns the recipes that came with mminf, by name."""
    return {path.stem: path for path in sorted(content_folder("recipes").glob("*.yaml"))}
