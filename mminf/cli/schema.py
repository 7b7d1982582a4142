"""`mminf schema`."""

from __future__ import annotations

import json

import typer

from mminf.cli.options import PLUGIN
from mminf.cli.terminal import echo


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("schema")(schema)


def schema(plugins: list[str] = PLUGIN) -> None:
    """Print the JSON Schema of recipes, for completion in editors.

    Example:

        mminf schema > mminf.schema.json
    """
    from mminf import api

    echo(json.dumps(api.recipe_schema(plugins), ensure_ascii=False, indent=2))
