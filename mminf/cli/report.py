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
    others: Annotated[list[str] | None, typer.Argument(help="Output folders of other runs, shown next to it.")] = None,
    page: str | None = typer.Option(
        None, "--html", help="File of the page; by default report.html in the output folder."
    ),
    as_json: bool = typer.Option(
        False, "--json", help="Print the figures as JSON, and write no page unless --html is given."
    ),
    plugins: list[str] = PLUGIN,
) -> None:
    """Write a page about a run: funnel, reasons, scores, calls, and some of its records. The run may be active.

    The page is one HTML file that needs no network.

    Example:

        mminf report out/oasis

        mminf report out/oasis out/oasis_72b --html compared.html
    """
    from mminf import api
    from mminf.storage import is_remote, to_path

    if page is None and not as_json:
        page = "report.html" if is_remote(to_path(output)) else f"{output}/report.html"
    found = api.report(output, *(others or []), html=page, plugins=plugins)
    if as_json:
        echo(json.dumps([item.to_json() for item in found], ensure_ascii=False, indent=2))
    elif page is not None:
        echo(page)
