"""Output of the commands."""

from __future__ import annotations

import shutil
import sys

import typer

from mminf.terminal import printable


def echo(text: object = "", *, err: bool = False) -> None:
    """Prints a line without secrets and control characters, since it may quote a server, a model or a file."""
    typer.echo(printable(str(text)), err=err)


def terminal_width(*, err: bool = False) -> int | None:
    """Returns the number of columns of the terminal that a command prints to; None if it prints to a file or a pipe."""
    stream = sys.stderr if err else sys.stdout
    return shutil.get_terminal_size().columns if stream.isatty() else None


def echo_wrapped(text: object, *, indent: str = "", err: bool = False) -> None:
    """Prints a text; in a terminal, its lines break between words.

    Args:
        indent: of all lines but the first.
    """
    from mminf.layout import wrap

    for line in wrap(printable(str(text)), terminal_width(err=err), indent):
        typer.echo(line, err=err)
