"""`mminf new-plugin`."""

from __future__ import annotations

from typing import Annotated

import typer

from mminf.cli.terminal import echo


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("new-plugin")(new_plugin)


def new_plugin(
    name: Annotated[str, typer.Argument(help="Name of the new step, source, sink or backend, for example shout.")],
    kind: Annotated[
        str,
        typer.Option(
            help="What the plugin adds: `step`, `model-step` (asks a model about images), `dataset-step` (sees all "
            "records), `source`, `sink` or `backend`."
        ),
    ] = "step",
) -> None:
    """Write a plugin and a recipe that runs it to the current folder. Both work as they are, without a model.

    Example:

        mminf new-plugin shout

        mminf new-plugin colour --kind model-step
    """
    from mminf.plugin.kinds import KINDS
    from mminf.plugin.scaffold import write_plugin

    written = write_plugin(name, kind=kind)
    echo(f"wrote {', '.join(path.name for path in written)}")
    source = "" if KINDS[kind].rows is not None else " --input YOUR_IMAGES/"
    echo(f"try: mminf run {name}.yaml{source} --output out/{name}")
