"""`mminf card`."""

from __future__ import annotations

from typing import Annotated

import typer

from mminf.cli.options import PLUGIN, RUN_FOLDER
from mminf.cli.terminal import echo

DATASETS = typer.Option(
    None, "--datasets", help="Folder that `mminf export --to` has written; by default the output folder of the run."
)
LICENCE = typer.Option(
    None, "--license", help="Id of the licence of the datasets, as hubs name it, such as cc-by-4.0 or apache-2.0."
)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("card")(card)


def card(
    output: Annotated[str, RUN_FOLDER],
    datasets: str | None = DATASETS,
    licence: str | None = LICENCE,
    languages: list[str] = typer.Option(
        [],
        "--language",
        help="Code of a language of the datasets, such as en; may be repeated. By default that of the rows.",
    ),
    pretty_name: str | None = typer.Option(None, "--pretty-name", help="Title of the card."),
    plugins: list[str] = PLUGIN,
    force: bool = typer.Option(
        False, "--force", help="Also replace a README.md that mminf did not write, or that was changed since."
    ),
) -> None:
    """Write the card of a run's datasets, README.md, and its recipe with all settings, next to the datasets.

    The card has the format of Hugging Face's dataset cards, which ModelScope reads, too.

    Example:

        mminf card out/oasis --license cc-by-4.0
    """
    from mminf import api

    found = api.card(
        output,
        datasets=datasets,
        license=licence,
        languages=languages,
        pretty_name=pretty_name,
        force=force,
        plugins=plugins,
    )
    for path in found:
        echo(path)
