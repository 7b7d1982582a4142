"""`mminf convert`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from mminf.cli.terminal import echo, echo_wrapped
from mminf.layout import amount


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("convert")(convert)


def convert(
    config: Annotated[Path, typer.Argument(help="YAML file of MM-INF, such as config/oasis.yaml.")],
    folder: Path = typer.Option(Path("converted"), "--to", help="Folder for the recipe and its templates."),
    code: Path | None = typer.Option(
        None, "--code", help="Folder with prompt_func/ and pp_func/. Prompt functions in it are imported and called."
    ),
    steps: bool = typer.Option(
        False, "--steps", help="Convert each step, also if a bundled recipe does what the configuration does."
    ),
    force: bool = typer.Option(False, "--force", help="Replace files that are there."),
) -> None:
    """Convert a configuration of MM-INF to a recipe, and list what is left to decide.

    Examples:

        mminf convert MM-INF/config/oasis.yaml

        mminf convert MM-INF/config/mine.yaml --code MM-INF/ --to recipes/
    """
    from mminf.convert import convert_file

    found, path = convert_file(config, folder, code=code, steps=steps, force=force)
    echo(f"wrote {path}" + (f" and {amount(len(found.templates), 'template')}" if found.templates else ""))
    if found.known is not None:
        echo_wrapped(
            f"It is the bundled recipe {found.known.recipe!r} with your models, because the functions are those of "
            f"MM-INF. `mminf help {found.known.page}` lists the differences; --steps converts the steps instead.",
            indent="  ",
        )
    for line in found.told:
        echo_wrapped(f"changed: {line}", indent="  ")
    for line in found.decide:
        echo_wrapped(f"decide:  {line}", indent="  ")
    output = f" --output {shlex.quote(found.output)}" if found.output else ""
    echo("next, when everything is decided:" if found.decide else "next:")
    for command in ("validate", "preview", "run"):
        echo(f"  mminf {command} {shlex.quote(str(path))}{output if command == 'run' else ''}")
