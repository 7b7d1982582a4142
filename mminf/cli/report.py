"""`mminf report`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from mminf.cli.options import PLUGIN, RUN_FOLDER
from mminf.cli.terminal import echo


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("report")(report)


def report(
    output: Annotated[str, RUN_FOLDER],
    others: Annotated[list[str] | None, typer.Argument(help="Other runs or datasets.")] = None,
    page: str | None = typer.Option(
        None, "--html", help="File of the page; by default report.html in the output folder, or here for a dataset."
    ),
    as_json: bool = typer.Option(
        False, "--json", help="Print the figures as JSON, and write no page unless --html is given."
    ),
    exact: bool = typer.Option(False, "--exact", help="Measure the costly properties for all rows, not for a sample."),
    plugins: list[str] = PLUGIN,
) -> None:
    """Write a page about a run: funnel, reasons, scores, calls, properties of its data, and some of its records.

    The page is one HTML file that needs no network. The run may be active. Other runs and datasets are next to it.

    Example:

        mminf report out/oasis

        mminf report out/oasis out/oasis_72b --html compared.html

        mminf report out/oasis llava_v1_5_mix665k.json --html compared.html
    """
    from mminf import api
    from mminf.run_folder import is_run
    from mminf.storage import is_remote, to_path

    if page is None and not as_json:
        place = to_path(output)
        page = f"{output}/report.html" if not is_remote(place) and is_run(place) else "report.html"
    found = api.report(output, *(others or []), html=page, plugins=plugins, exact=exact)
    if as_json:
        echo(json.dumps([item.to_json() for item in found], ensure_ascii=False, indent=2))
    elif page is not None:
        echo(page)
