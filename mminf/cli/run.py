"""`mminf run`."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mminf.cli.options import INPUT, OUTPUT, PLUGIN, PROFILE, RECIPE, SEED, SET, load_options

if TYPE_CHECKING:
    from mminf.engine.run import RunResult


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("run")(run)


def run(
    recipe: Annotated[str, RECIPE],
    input: str | None = INPUT,  # noqa: A002 (what users call it)
    output: str | None = OUTPUT,
    profile: str | None = PROFILE,
    settings: list[str] = SET,
    limit: int | None = typer.Option(None, "--limit", min=1, help="Only so many records of the source."),
    seed: int | None = SEED,
    plugins: list[str] = PLUGIN,
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Print only errors."),
) -> None:
    """Run a recipe, or go on with a run that was stopped.

    Examples:

        mminf run oasis --input my_images/ --output out/oasis

        mminf run recipes/oasis.yaml --profile demo --set steps.hook.n=2 --limit 100
    """
    from mminf import api

    if quiet:
        logging.getLogger("mminf").setLevel(logging.ERROR)
    loaded = api.load(recipe, **load_options(input, profile, settings, seed, plugins))
    prepared = api.prepare(loaded, output=output, limit=limit)
    if not quiet:
        for line in [*([loaded.run.note] if loaded.run.note else []), *prepared.warnings()]:
            typer.echo(f"note: {line}", err=True)
    result = api.execute(prepared, progress=not quiet)
    if not quiet:
        _print_result(result)
    sys.stdout.flush()
    sys.stderr.flush()
    if result.state == "interrupted":
        # A thread may still be loading a model or be deep in a batch; nobody waits for it any more, nor for the
        # processes that it has started.
        api.end_children()
        os._exit(result.exit_code)
    raise typer.Exit(result.exit_code)


def _print_result(result: RunResult) -> None:
    counts = result.counts
    pending = f", {counts.pending} pending" if counts.pending else ""
    typer.echo(f"{result.state}: {counts.done} done, {counts.dropped} dropped, {counts.failed} failed{pending}")
    for written in result.written:
        less = f" ({written.before} before)" if written.before and written.before > written.rows else ""
        typer.echo(f"  {result.output / written.path}: {written.rows} rows{less}")
        if written.left_out:
            typer.echo(f"    {written.left_out} records left out, such as {written.example}")
    for record, step, reason in result.failures:
        typer.echo(f"  failed at {step}: {record}: {reason}")
    if counts.failed > len(result.failures):
        typer.echo(f"  and {counts.failed - len(result.failures)} more")
    if counts.failed:
        typer.echo(
            f"  all failures: mminf status {result.output}; to ask anew: mminf retry {result.output}, then run again"
        )
    if result.state == "interrupted":
        typer.echo(f"{result.calls} model calls are kept; run the same command again to go on")
