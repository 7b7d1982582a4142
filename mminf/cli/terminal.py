"""Output of the commands."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import typer

from mminf.terminal import printable

if TYPE_CHECKING:
    from mminf.engine.run import Run


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


def end_interrupted(run: Run) -> None:
    """Ends this process if a user has interrupted a run, without waiting for threads that load models."""
    if run.session.stats.draining:
        from mminf import api

        echo("interrupted; run the same command to continue", err=True)
        sys.stdout.flush()
        sys.stderr.flush()
        api.end_children()
        os._exit(130)
