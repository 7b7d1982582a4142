"""`mminf export`."""

from __future__ import annotations

from typing import Annotated

import typer

from mminf.cli.options import FORCE, IMAGE_ROOT, INPUT, PLUGIN, PROFILE, RECIPE, SEED, SET, load_options
from mminf.cli.terminal import echo_wrapped
from mminf.errors import UsageError


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("export")(export)


def export(
    recipe: Annotated[str, RECIPE],
    output: Annotated[str, typer.Option("--output", "-o", help="Output folder of the run.")],
    to: str | None = typer.Option(None, "--to", help="Folder or URI for the datasets; by default --output."),
    split: str | None = typer.Option(
        None, "--split", help="Parts and their shares of the source records, such as train=0.95,validation=0.05."
    ),
    stratify: str | None = typer.Option(
        None, "--stratify", help="Field; the source records with each of its values are divided by the shares, too."
    ),
    split_seed: int = typer.Option(0, "--split-seed", help="Seed of the split."),
    input: str | None = INPUT,  # noqa: A002 (what users call it)
    image_root: str | None = IMAGE_ROOT,
    profile: str | None = PROFILE,
    settings: list[str] = SET,
    seed: int | None = SEED,
    plugins: list[str] = PLUGIN,
    force: bool = FORCE,
    marks: str | None = typer.Option(
        None, "--marks", help="File with marks of `mminf view`; records get the fields `mark` and `note`."
    ),
) -> None:
    """Write a recipe's datasets from the records that are finished so far; the run may be active.

    Example:

        mminf export oasis --output out/oasis --set 'sinks=[{llava: oasis.llava.jsonl}]'

        mminf export oasis --output /shared/colleagues/run --to my_datasets

        mminf export oasis -o out/oasis --to marked --marks out/oasis/marks.jsonl --set 'sinks=[{jsonl: rows.jsonl}]'

        mminf export oasis --output out/oasis --split train=0.95,validation=0.05
    """
    from pathlib import Path

    from mminf import api
    from mminf.layout import amount

    options = load_options(input, profile, settings, seed, plugins, image_root)
    if split is not None:
        # The options replace the recipe's split as a whole.
        options["settings"] = [*settings, "split=null"]
        options["overrides"] = {"split": {"shares": _shares(split), "stratify": stratify, "seed": split_seed}}
    elif stratify is not None or split_seed:
        raise UsageError("--stratify and --split-seed need --split, such as --split train=0.95,validation=0.05")
    loaded = api.load(recipe, **options)
    every = api.export(loaded, output, to=to, force=force, marks=marks)
    for written in every:
        echo_wrapped(f"{Path(to or output) / written.path}: {amount(written.rows, 'row')}")
        if written.left_out:
            echo_wrapped(f"  {amount(written.left_out, 'record')} left out, such as {written.example}", indent="    ")
    if any(written.left_out for written in every) and not any(written.rows for written in every):
        raise typer.Exit(1)


def _shares(text: str) -> dict[str, float]:
    """Returns the shares of parts by name. Raises UsageError if the text is not a list of them."""
    found: dict[str, float] = {}
    for item in text.split(","):
        name, _, share = (part.strip() for part in item.partition("="))
        try:
            value = float(share)
        except ValueError:
            raise UsageError(
                f"--split {text[:80]!r}: {item[:40]!r} is not NAME=SHARE; example: train=0.95,validation=0.05"
            ) from None
        if name in found:
            raise UsageError(f"--split {text[:80]!r}: {name!r} is there twice")
        found[name] = value
    return found
