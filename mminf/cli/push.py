"""`mminf push`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mminf.cli.card import DATASETS
from mminf.cli.options import PLUGIN, RUN_FOLDER
from mminf.cli.terminal import echo
from mminf.errors import UsageError
from mminf.layout import amount

if TYPE_CHECKING:
    from mminf.hub.push import PushPlan


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("push")(push)


def push(
    output: Annotated[str, RUN_FOLDER],
    target: Annotated[str, typer.Argument(help="Repository: hub:OWNER/NAME, or hub:NAME on Hugging Face.")],
    modelscope: bool = typer.Option(False, "--modelscope", help="Upload to ModelScope, not to Hugging Face."),
    private: bool = typer.Option(False, "--private", help="Make a private repository."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print what would be uploaded; needs no token."),
    include_images: bool = typer.Option(
        False,
        "--include-images",
        help="Upload datasets whose rows name files of this machine as Parquet with the images in the rows.",
    ),
    datasets: str | None = DATASETS,
    plugins: list[str] = PLUGIN,
    force: bool = typer.Option(
        False, "--force", help="Also replace a card on the hub that mminf did not write, or that was changed since."
    ),
) -> None:
    """Upload the datasets of a run, their card and the recipe to Hugging Face or ModelScope.

    The hub's own library uploads, with its token. Without one, what would be uploaded is printed.

    Example:

        mminf push out/oasis hub:my-name/my-dataset --dry-run

        mminf push out/oasis hub:my-name/my-dataset --include-images --private
    """
    from mminf import api

    plan = api.plan_push(
        output, target, modelscope=modelscope, datasets=datasets, include_images=include_images, plugins=plugins
    )
    _print_plan(plan, private=private)
    if dry_run:
        echo("dry run: nothing was uploaded")
        return
    if not plan.hub.has_token():
        raise UsageError(
            f"nothing was uploaded, because there is no token for {plan.hub.name}; run `{plan.hub.login}`, or set "
            f"{plan.hub.variable}, then run the same command"
        )
    echo(api.push(plan, private=private, force=force))


def _print_plan(plan: PushPlan, *, private: bool) -> None:
    from mminf.card.render import format_size

    echo(f"{plan.hub.name}: {plan.url}{' (private)' if private else ''}")
    width = max(len(format_size(upload.size)) for upload in plan.uploads)
    for upload in plan.uploads:
        made = "  (made for the upload; the size is an estimate)" if upload.path.endswith("*.parquet") else ""
        echo(f"  {format_size(upload.size):>{width}}  {upload.path}{made}")
    total = format_size(sum(upload.size for upload in plan.uploads))
    echo(f"  {total} in all; {amount(sum(dataset.rows or 0 for dataset in plan.datasets), 'row')}")
    for warning in plan.warnings:
        echo(f"warning: {warning}", err=True)
    for problem in plan.problems:
        echo(f"card: {problem}", err=True)
