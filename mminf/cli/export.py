"""`mminf export`."""

from __future__ import annotations

from typing import Annotated

import typer

from mminf.cli.options import FORCE, IMAGE_ROOT, INPUT, PLUGIN, PROFILE, RECIPE, SEED, SET, load_options
from mminf.cli.terminal import echo_wrapped


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("export")(export)


def export(
    recipe: Annotated[str, RECIPE],
    output: Annotated[str, typer.Option("--output", "-o", help="Output folder of the run.")],
    to: str | None = typer.Option(None, "--to", help="Folder or URI for the datasets; by default --output."),
    input: str | None = INPUT,  # noqa: A002 (what users call it)
    image_root: str | None = IMAGE_ROOT,
    profile: str | None = PROFILE,
    settings: list[str] = SET,
    seed: int | None = SEED,
    plugins: list[str] = PLUGIN,
    force: bool = FORCE,
    marks: str | None = typer.Option(
        None, "--marks", help="File with marks of `mminf view`; records get the fields `mark` and `note`."
    ),
) -> None:
    """Write a recipe's datasets from the records that are finished so far; the run may be active.

    Example:

        mminf export oasis --output out/oasis --set 'sinks=[{llava: oasis.llava.jsonl}]'

        mminf export oasis --output /shared/colleagues/run --to my_datasets

        mminf export oasis -o out/oasis --to marked --marks out/oasis/marks.jsonl
    """
    from pathlib import Path

    from mminf import api
    from mminf.layout import amount

    loaded = api.load(recipe, **load_options(input, profile, settings, seed, plugins, image_root))
    for written in api.export(loaded, output, to=to, force=force, marks=marks):
        echo_wrapped(f"{Path(to or output) / written.path}: {amount(written.rows, 'row')}")
        if written.left_out:
            echo_wrapped(f"  {amount(written.left_out, 'record')} left out, such as {written.example}", indent="    ")
