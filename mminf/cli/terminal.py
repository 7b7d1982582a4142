"""How commands print."""

from __future__ import annotations

import typer

from mminf.terminal import printable


def echo(text: object = "", *, err: bool = False) -> None:
    """Prints a line, without secrets and without what steers a terminal: it may quote a server, a model or a file."""
    typer.echo(printable(str(text)), err=err)
