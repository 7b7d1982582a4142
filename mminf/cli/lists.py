"""`mminf steps` and `mminf recipes`."""

from __future__ import annotations

import typer

from mminf.cli.options import PLUGIN
from mminf.cli.terminal import echo, echo_wrapped


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("steps")(steps)
    app.command("recipes")(recipes)


def steps(plugins: list[str] = PLUGIN) -> None:
    """List the steps, backends, sources and sinks that recipes can name.

    Example:

        mminf steps --plugin my_plugin.py
    """
    from mminf import api

    for kind, members in api.list_members(plugins).items():
        echo(f"{kind}:")
        for name, line in members.items():
            echo_wrapped(f"  {name:13} {line}", indent=" " * 16)


def recipes() -> None:
    """List the recipes that are bundled with mminf.

    Example:

        mminf recipes
    """
    from mminf import api

    for name, line in api.list_recipes().items():
        echo_wrapped(f"{name:20} {line}", indent=" " * 21)
