"""Options that several commands share."""

from __future__ import annotations

from typing import Any

import typer

RECIPE = typer.Argument(help="Recipe file, or the name of a bundled recipe.")
INPUT = typer.Option(None, "--input", "-i", help="Image folder, JSON, JSONL, CSV, Parquet or dataset on disk.")
IMAGE_ROOT = typer.Option(None, "--image-root", help="Folder or URI at which relative image paths of the rows start.")
OUTPUT = typer.Option(None, "--output", "-o", help="Folder for the journal and the datasets; out/<recipe> by default.")
PROFILE = typer.Option(None, "--profile", "-p", help="Profile of the recipe, or several, separated by commas.")
SET = typer.Option([], "--set", "-s", help="path.to.key=value, overrides the recipe; may be repeated.")
SEED = typer.Option(None, "--seed", help="Seed of the run.")
PLUGIN = typer.Option([], "--plugin", help="Plugin file or module; may be repeated.")
LIMIT = typer.Option(None, "--limit", min=1, help="Process at most this many records of the source.")
FORCE = typer.Option(
    False,
    "--force",
    help="Also replace files that mminf did not write, the run of another recipe, and larger datasets by those of "
    "runs that failed in part or are not finished.",
)
QUIET = typer.Option(False, "--quiet", "-q", help="Print only errors.")
RUN_FOLDER = typer.Argument(help="Output folder of a run.")


def load_options(
    input: str | None,  # noqa: A002 (what users call it)
    profile: str | None,
    settings: list[str],
    seed: int | None,
    plugins: list[str],
    image_root: str | None = None,
) -> dict[str, Any]:
    """Returns the options as `mminf.load` takes them."""
    return {
        "input": input,
        "profile": profile,
        "settings": settings,
        "seed": seed,
        "plugins": plugins,
        "image_root": image_root,
    }
