"""`mminf evaluate-demo`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

_SET = typer.Option([], "--set", "-s", help="path.to.key=value, laid over the recipe; may be repeated.")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("evaluate-demo")(evaluate_demo)


def evaluate_demo(
    output: Annotated[Path, typer.Argument(help="Folder for the runs; run again, it goes on where it stopped.")],
    scenes: int = typer.Option(500, "--scenes", min=1, help="Number of scenes; drawn texts are twice as many."),
    first: int = typer.Option(0, "--first", min=0, help="Seed of the first scene."),
    funnel: bool = typer.Option(
        False, "--funnel", help="Measure nothing anew: print the funnel of the run in this folder beside the truth."
    ),
    settings: list[str] = _SET,
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Measure the demo model, and a filter's worth, on drawn scenes whose truth is known.

    Examples:

        mminf evaluate-demo out/evaluation --scenes 500

        mminf evaluate-demo demo/out --funnel
    """
    # Only this command needs them, and every start of the command line imports this module.
    from .evaluate import evaluate
    from .funnel import funnel_text

    if funnel and as_json:
        raise typer.BadParameter("--funnel prints a table; `mminf status --json` has the run's counts")
    if funnel:
        typer.echo(funnel_text(output))
        return
    found = evaluate(output, scenes=scenes, first=first, settings=settings, progress=True)
    typer.echo(json.dumps(found, indent=2) if as_json else _table(found))


def _table(found: dict[str, Any]) -> str:
    columns = ["sampled", "sampled, new", "drawn", "drawn, new"]
    lines = [f"{'':26}" + "".join(f"{column:>18}" for column in columns)]
    lines += [
        f"{name:26}" + "".join(f"{_cell(found[column][name]):>18}" for column in columns) for name in found["drawn"]
    ]
    lines.append("sampled by the model; drawn texts; new: scenes whose content no training scene had")
    return "\n".join(lines)


def _cell(share: dict[str, Any]) -> str:
    return "-" if share["share"] is None else f"{share['share']:.1%} of {share['of']}"
