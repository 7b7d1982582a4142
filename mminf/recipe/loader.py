"""Reads a recipe, applies overrides, checks it, and reports all problems at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mminf.errors import Problem, RecipeError
from mminf.plugin import discover
from mminf.recipe.builder import Builder
from mminf.recipe.lines import Document, load_document
from mminf.recipe.model import Recipe
from mminf.recipe.override import (
    apply_profile,
    apply_setting,
    copy_source,
    overlay_dotted,
    replace_source,
    set_image_root,
)

log = logging.getLogger("mminf")


def load_recipe(
    path: Path,
    *,
    profile: str | None = None,
    settings: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    source: Mapping[str, Any] | None = None,
    image_root: str | None = None,
    plugins: Sequence[str] = (),
    templates: Sequence[Path] = (),
    check: Callable[[Recipe], list[Problem]] | None = None,
) -> Recipe:
    """Reads and checks a recipe. No model is loaded, and no input is read, except by `check`.

    Args:
        profile: name of a profile of the recipe; several names, separated by commas, are applied in order.
        settings: `a.b.c=value` texts, as `--set` takes them.
        overrides: the same as nested or dotted mappings, from Python.
        source: replaces the recipe's source (`{"images": "my_images"}`).
        image_root: the source's `image_root`.
        plugins: additional plugin files or modules.
        templates: additional template folders, searched after the recipe's own.
        check: finds more problems of a recipe that has some. It gets what is valid of it; steps with a problem are
            `Doubtful`.

    Raises:
        RecipeError: with every problem found.
        PluginError: if a named plugin is missing or broken.
    """
    document = load_document(path)
    if not isinstance(document.data, dict):
        raise RecipeError(
            [Problem(str(path), "is not a mapping; a recipe has the keys name, engines, source, steps, sinks")]
        )
    discover(plugins)
    discover(_plugins(document), base=path.parent)
    first = copy_source(document)
    for name in (profile or "").split(","):
        if name.strip():
            apply_profile(document, name.strip())
    if source is not None:
        replace_source(document, source, "--input", first)
    if image_root is not None:
        set_image_root(document, image_root, "--image-root")
    for setting in settings:
        apply_setting(document, setting)
    for key, value in (overrides or {}).items():
        overlay_dotted(document, key, value, f"override {key}")
    return Builder(document, path, templates).build(check)


def _plugins(document: Document) -> list[str]:
    named = document.data.get("plugins") or []
    named = [named] if isinstance(named, str) else named
    if not isinstance(named, list) or not all(isinstance(item, str) for item in named):
        raise RecipeError([Problem(document.locate(("plugins",)), "plugins must be a list of files or modules")])
    return named
