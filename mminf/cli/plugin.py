"""`mminf new-plugin`."""

from __future__ import annotations

from typing import Annotated

import typer

from mminf.cli.terminal import echo


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("new-plugin")(new_plugin)


def new_plugin(name: Annotated[str, typer.Argument(help="Name of the new step, for example shout.")]) -> None:
    """Write a plugin file with one step, and a recipe that runs it, to the current folder.

    Example:

        mminf new-plugin shout
    """
    from mminf.plugin.scaffold import write_plugin

    plugin, recipe = write_plugin(name)
    echo(f"wrote {plugin} and {recipe}; try: mminf run {recipe} --input YOUR_ROWS.jsonl")
