"""`mminf plan`."""

from __future__ import annotations

from typing import Annotated

import typer

from mminf.cli.options import IMAGE_ROOT, INPUT, PLUGIN, PROFILE, RECIPE, SEED, SET, load_options
from mminf.cli.terminal import echo


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("plan")(plan)


def plan(
    recipe: Annotated[str, RECIPE],
    input: str | None = INPUT,  # noqa: A002 (what users call it)
    image_root: str | None = IMAGE_ROOT,
    profile: str | None = PROFILE,
    settings: list[str] = SET,
    seed: int | None = SEED,
    plugins: list[str] = PLUGIN,
) -> None:
    """Show what a run would do: its stages, model loads, calls per record, and the dependencies of the steps.

    Example:

        mminf plan oasis
    """
    from mminf import api

    echo(api.describe_plan(api.load(recipe, **load_options(input, profile, settings, seed, plugins, image_root))))
