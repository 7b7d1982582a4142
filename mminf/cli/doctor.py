"""`mminf doctor`."""

from __future__ import annotations

import typer

from mminf.cli.terminal import echo


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("doctor")(doctor)


def doctor() -> None:
    """Tell what is installed, which GPUs there are, which backends can run here and how to get the others.

    Example:

        mminf doctor
    """
    from mminf.report.doctor import examine

    for line in examine():
        echo(line)
