"""`mminf preview`."""

from __future__ import annotations

import tempfile
from typing import Annotated

import typer

from mminf.cli.options import FORCE, IMAGE_ROOT, INPUT, PLUGIN, PROFILE, RECIPE, SEED, SET, load_options
from mminf.cli.terminal import echo, echo_wrapped, end_interrupted


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("preview")(preview)


def preview(
    recipe: Annotated[str, RECIPE],
    input: str | None = INPUT,  # noqa: A002 (what users call it)
    image_root: str | None = IMAGE_ROOT,
    records: int = typer.Option(
        3, "--records", "-n", min=1, max=100, help="Number of records, the first of the input."
    ),
    output: str | None = typer.Option(
        None, "--output", "-o", help="Folder of the later run, which finds the answers there; by default, none is kept."
    ),
    profile: str | None = PROFILE,
    settings: list[str] = SET,
    seed: int | None = SEED,
    plugins: list[str] = PLUGIN,
    force: bool = FORCE,
) -> None:
    """Run a few records through all steps, and show what each step writes. No dataset is written.

    Examples:

        mminf preview oasis --input my_images/

        mminf preview caption --profile demo --input my_images/ --records 1
    """
    from mminf import api
    from mminf.display.preview import print_preview

    loaded = api.load(recipe, **load_options(input, profile, settings, seed, plugins, image_root))
    with tempfile.TemporaryDirectory(prefix="mminf-preview-") as folder:
        prepared = api.prepare(loaded, output=output or folder, force=force)
        if loaded.run.note:
            echo_wrapped(f"note: {loaded.run.note}", indent="  ", err=True)
        shown = api.preview(prepared, records=records)
        print_preview(shown)
    end_interrupted(prepared)
    if not shown:
        echo("the input contains no record")
        raise typer.Exit(1)
    if output is not None:
        echo(f"prompts and raw answers: mminf show {output} {shown[0].id}")
