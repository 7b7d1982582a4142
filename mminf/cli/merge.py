"""`mminf merge`."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from mminf.cli.options import (
    FORCE,
    IMAGE_ROOT,
    INPUT,
    LIMIT,
    OUTPUT,
    PLUGIN,
    PROFILE,
    QUIET,
    RECIPE,
    SEED,
    SET,
    load_options,
)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("merge")(merge)


def merge(
    recipe: Annotated[str, RECIPE],
    input: str | None = INPUT,  # noqa: A002 (what users call it)
    image_root: str | None = IMAGE_ROOT,
    output: str | None = OUTPUT,
    profile: str | None = PROFILE,
    settings: list[str] = SET,
    limit: int | None = LIMIT,
    seed: int | None = SEED,
    plugins: list[str] = PLUGIN,
    force: bool = FORCE,
    quiet: bool = QUIET,
) -> None:
    """Merge the shards of a run and write its datasets. Use the same options as for the shards.

    Example:

        mminf run oasis --input images/ --output out/oasis --shard 0/2    # and 1/2, anywhere, at any time

        mminf merge oasis --input images/ --output out/oasis
    """
    from mminf import api
    from mminf.cli.run import print_result

    if quiet:
        logging.getLogger("mminf").setLevel(logging.ERROR)
    loaded = api.load(recipe, **load_options(input, profile, settings, seed, plugins, image_root))
    result = api.merge(api.prepare(loaded, output=output, limit=limit, force=force), progress=not quiet)
    if not quiet:
        print_result(result)
    raise typer.Exit(result.exit_code)
