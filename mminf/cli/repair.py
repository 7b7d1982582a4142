"""`mminf repair`."""

from __future__ import annotations

from typing import Annotated

import typer

from mminf.cli.options import RUN_FOLDER
from mminf.cli.terminal import echo_wrapped


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("repair")(repair)


def repair(output: Annotated[str, RUN_FOLDER]) -> None:
    """Save the readable rows of a damaged journal; the damaged file is kept next to it.

    Model answers are saved row by row. If outcomes of records are damaged, the next run computes them again from the
    saved answers, without calling a model for these.

    Example:

        mminf repair out/oasis
    """
    from mminf import api

    found = api.repair(output)
    if not found.damaged:
        echo_wrapped("the journal is not damaged")
        return
    for path in found.damaged:
        echo_wrapped(f"the damaged file was kept: {path}")
    lost = found.lost.get("memo", 0)
    unreadable = f"; {lost} had a wrong checksum" if lost else ""
    echo_wrapped(f"{found.saved.get('memo', 0)} model answers were saved{unreadable}")
    if not found.outcomes:
        echo_wrapped("outcomes of records are damaged: the next run computes them again from the saved answers")
    echo_wrapped("run the same command to resume the run; `mminf export` writes its datasets")
