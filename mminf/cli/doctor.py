"""`mminf doctor`."""

from __future__ import annotations

import typer

from mminf.cli.terminal import echo_wrapped


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("doctor")(doctor)


def doctor() -> None:
    """Show installed packages, GPUs, and the backends that can run here, with instructions to install the others.

    Example:

        mminf doctor
    """
    from mminf.display.doctor import examine

    for line in examine():
        echo_wrapped(line, indent="  ")
