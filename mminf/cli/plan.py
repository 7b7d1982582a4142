"""`mminf plan`."""

from __future__ import annotations

from typing import Annotated

import typer

from mminf.cli.options import (
    FORCE,
    IMAGE_ROOT,
    INPUT,
    LIMIT,
    OUTPUT,
    PLUGIN,
    PROFILE,
    RECIPE,
    SEED,
    SET,
    load_options,
)
from mminf.cli.terminal import echo, echo_wrapped, end_interrupted


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("plan")(plan)


def plan(
    recipe: Annotated[str, RECIPE],
    input: str | None = INPUT,  # noqa: A002 (what users call it)
    image_root: str | None = IMAGE_ROOT,
    probe: int | None = typer.Option(
        None,
        "--probe",
        min=1,
        help="Run this many records, drawn over the whole input, and estimate the cost of the run. The run finds their "
        "answers in the output.",
    ),
    output: str | None = OUTPUT,
    profile: str | None = PROFILE,
    settings: list[str] = SET,
    limit: int | None = LIMIT,
    seed: int | None = SEED,
    plugins: list[str] = PLUGIN,
    force: bool = FORCE,
) -> None:
    """Show what a run would do: its stages, model loads and calls; with --probe, what it would cost instead.

    Examples:

        mminf plan oasis --input my_images/

        mminf plan oasis --input my_images/ --probe 30 --output out/oasis
    """
    from mminf import api

    loaded = api.load(recipe, **load_options(input, profile, settings, seed, plugins, image_root))
    if probe is None:
        for line in api.describe_plan(loaded, limit=limit).splitlines():
            echo_wrapped(line, indent=" " * (len(line) - len(line.lstrip()) + 4))
        return
    from mminf.display.estimate import estimate_text
    from mminf.states import RunState

    prepared = api.prepare(loaded, output=output, limit=limit, force=force)
    found = api.probe(prepared, records=probe, progress=True)
    echo(estimate_text(found))
    end_interrupted(prepared)
    if found.estimate is None:
        raise typer.Exit(1)
    if found.result.state is RunState.FINISHED:
        echo_wrapped(
            f"  the run in {prepared.target} was finished with these options: only records that were added, or have "
            "failed, are left",
            indent="  ",
        )
        return
    made = f"{len(found.figures.calls):,} of the calls are made"
    echo(f"  {made}; `mminf run` with the same options finds them in {prepared.target}")
