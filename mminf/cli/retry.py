"""`mminf retry`."""

from __future__ import annotations

from typing import Annotated

import typer

from mminf.cli.options import RUN_FOLDER
from mminf.cli.terminal import echo_wrapped


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("retry")(retry)


def retry(
    output: Annotated[str, RUN_FOLDER],
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of failed records; all by default.")] = None,
    step: str | None = typer.Option(None, "--step", help="Only records that failed in this step."),
) -> None:
    """Mark failed records, so that the next run retries them with new seeds.

    Example:

        mminf retry out/oasis --step respond
    """
    from mminf import api
    from mminf.layout import amount

    marked = api.retry(output, step=step, ids=ids or [])
    if not marked:
        echo_wrapped(f"no record has failed{f' at {step}' if step is not None else ''}")
        return
    verb = "is" if marked == 1 else "are"
    echo_wrapped(f"{amount(marked, 'failed record')} {verb} marked; run the same command to retry with new seeds")
