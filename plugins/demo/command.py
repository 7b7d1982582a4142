"""`mminf evaluate-demo`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

_SET = typer.Option([], "--set", "-s", help="path.to.key=value, overrides the recipe; may be repeated.")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("evaluate-demo")(evaluate_demo)


def evaluate_demo(
    output: Annotated[Path, typer.Argument(help="Folder for the runs; the same command resumes them.")],
    scenes: int = typer.Option(500, "--scenes", min=1, help="Number of scenes that the model samples for."),
    texts: int | None = typer.Option(
        None, "--texts", min=1, help="Number of drawn texts; by default twice the scenes."
    ),
    first: int = typer.Option(0, "--first", min=0, help="Seed of the first scene."),
    funnel: bool = typer.Option(
        False, "--funnel", help="Measure nothing; compare the funnel of the run in this folder with the truth."
    ),
    settings: list[str] = _SET,
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Measure the demo model, and the effect of a filter, on drawn scenes whose truth is known.

    Examples:

        mminf evaluate-demo out/evaluation --scenes 500

        mminf evaluate-demo demo/out --funnel
    """
    # Imported here, because every start of the command line imports this module.
    from .evaluate import evaluate
    from .funnel import funnel_text

    if funnel and as_json:
        raise typer.BadParameter("--funnel has no JSON output; `mminf status --json` prints the run's counts")
    if funnel:
        typer.echo(funnel_text(output))
        return
    found = evaluate(output, scenes=scenes, texts=texts, first=first, settings=settings, progress=True)
    typer.echo(json.dumps(found, indent=2) if as_json else _table(found))


def _table(found: dict[str, Any]) -> str:
    from .evaluate import COLUMNS

    lines = [f"{'':26}" + "".join(f"{column:>18}" for column in COLUMNS)]
    lines += [
        f"{name:26}" + "".join(f"{_cell(found[column][name]):>18}" for column in COLUMNS) for name in found["drawn"]
    ]
    lines.append("sampled: by the model; drawn: drawn texts; new: only scenes unlike all training scenes")
    return "\n".join(lines)


def _cell(share: dict[str, Any]) -> str:
    return "-" if share["share"] is None else f"{share['share']:.1%} of {share['of']}"
