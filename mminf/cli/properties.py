"""`mminf properties`."""

from __future__ import annotations

import json

import typer

from mminf.cli.options import IMAGE_ROOT
from mminf.cli.terminal import echo

TOKENIZER = typer.Option(
    None,
    "--tokenizer",
    help="Count tokens with the tokenizer of this model: a folder, `builtin:demo`, or a model in the cache of a hub. "
    "By default that of a run's first model, if it is on this machine.",
)
SPACY = typer.Option("en_core_web_sm", "--spacy-model", help="Model of spaCy that finds the root verbs.")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("properties")(properties)


def properties(
    path: str = typer.Argument(help="Output folder of a run, or a file or folder of ms-swift, LLaVA or ShareGPT rows."),
    exact: bool = typer.Option(
        False,
        "--exact",
        help="Measure languages, near-duplicates, verbs and image files of all rows, not of 20,000.",
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
    tokenizer: str | None = TOKENIZER,
    image_root: str | None = IMAGE_ROOT,
    spacy_model: str = SPACY,
) -> None:
    """Show properties of datasets: lengths, languages, root verbs, duplicates, images.

    Example:

        mminf properties out/oasis

        mminf properties llava_v1_5_mix665k.json --image-root /data/llava --json
    """
    from mminf import api

    found = api.properties(path, exact=exact, tokenizer=tokenizer, image_root=image_root, spacy_model=spacy_model)
    if as_json:
        echo(json.dumps(found.to_json(), ensure_ascii=False, indent=2))
        return
    from mminf.display.properties import properties_lines

    for line in properties_lines(found):
        echo(line)
