"""`mminf render`."""

from __future__ import annotations

from typing import Annotated

import typer

from mminf.cli.options import IMAGE_ROOT, INPUT, PLUGIN, PROFILE, RECIPE, SEED, SET, load_options
from mminf.cli.terminal import echo


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("render")(render)


def render(
    recipe: Annotated[str, RECIPE],
    step: Annotated[str, typer.Argument(help="Name of a step.")],
    record: str | None = typer.Option(None, "--record", "-r", help="Id of a record; the first by default."),
    output: str | None = typer.Option(None, "--output", "-o", help="Run whose fields fill in the prompt."),
    input: str | None = INPUT,  # noqa: A002 (what users call it)
    image_root: str | None = IMAGE_ROOT,
    profile: str | None = PROFILE,
    settings: list[str] = SET,
    seed: int | None = SEED,
    plugins: list[str] = PLUGIN,
) -> None:
    """Print the exact prompt of a step for a record, and its number of tokens. Loads the tokenizer, not the weights.

    With --output, the final values of the run's fields are filled in. If a field was written more than once, use
    `mminf show` to see the prompts that were sent.

    Example:

        mminf render oasis hook --input my_images/ --record cats/0001.jpg
    """
    from mminf import api

    loaded = api.load(recipe, **load_options(input, profile, settings, seed, plugins, image_root))
    shown = api.render(loaded, step, record=record, output=output)
    echo(shown.text)
    echo("tokens: unknown" if shown.tokens is None else f"tokens: {shown.tokens}", err=True)
