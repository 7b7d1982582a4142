"""`mminf validate`."""

from __future__ import annotations

from typing import Annotated

import typer

from mminf.cli.options import IMAGE_ROOT, INPUT, PLUGIN, PROFILE, RECIPE, SEED, SET, load_options
from mminf.cli.terminal import echo_wrapped
from mminf.layout import amount


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("validate")(validate)


def validate(
    recipe: Annotated[str, RECIPE],
    input: str | None = INPUT,  # noqa: A002 (what users call it)
    image_root: str | None = IMAGE_ROOT,
    profile: str | None = PROFILE,
    settings: list[str] = SET,
    seed: int | None = SEED,
    plugins: list[str] = PLUGIN,
) -> None:
    """Check a recipe without loading a model or reading its input; the exit code is 2 if it has errors.

    Example:

        mminf validate recipes/oasis.yaml --profile demo
    """
    from mminf import api

    loaded = api.load(recipe, **load_options(input, profile, settings, seed, plugins, image_root), peek=False)
    api.check(loaded)
    echo_wrapped(f"{loaded.path}: valid ({amount(len(loaded.steps), 'step')}, {amount(len(loaded.engines), 'engine')})")
    if loaded.run.note:
        echo_wrapped(f"note: {loaded.run.note}", indent="  ")
