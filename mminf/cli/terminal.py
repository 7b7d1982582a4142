"""Output of the commands."""

from __future__ import annotations

import typer

from mminf.terminal import printable


def echo(text: object = "", *, err: bool = False) -> None:
    """Prints a line without secrets and control characters, since it may quote a server, a model or a file."""
    typer.echo(printable(str(text)), err=err)
