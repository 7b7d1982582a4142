"""`mminf evaluate-demo`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mminf.cli.options import SET


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
    settings: list[str] = SET,
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Measure the demo model, and a filter's worth, on drawn scenes whose truth is known.

    Examples:

        mminf evaluate-demo out/evaluation --scenes 500

        mminf evaluate-demo demo/out --funnel
    """
    from mminf import evaluation

    if funnel:
        typer.echo(evaluation.funnel_text(output))
        return
    found = evaluation.evaluate(output, scenes=scenes, first=first, settings=settings, progress=True)
    typer.echo(json.dumps(found, indent=2) if as_json else _table(found))


def _table(found: dict[str, Any]) -> str:
    lines = [f"{'':22}{'sampled by the model':>24}{'drawn texts':>24}"]
    for name in next(iter(found.values())):
        cells = [_cell(shares[name]) for shares in found.values()]
        lines.append(f"{name:22}" + "".join(f"{cell:>24}" for cell in cells))
    return "\n".join(lines)


def _cell(share: dict[str, Any]) -> str:
    return "-" if share["share"] is None else f"{share['share']:.1%} of {share['of']}"
