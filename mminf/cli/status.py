"""`mminf status`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from mminf.cli.options import RUN_FOLDER


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("status")(status)


def status(
    output: Annotated[str, RUN_FOLDER],
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Show how far a run is, also while it goes on.

    Example:

        mminf status out/oasis --json
    """
    from mminf import api

    found = api.status(output)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    total = "?" if found["total"] is None else found["total"]
    typer.echo(f"{found['recipe']}: {found['state']} (run {found['run']}, {total} records in the source)")
    if found["state"] in ("killed", "interrupted"):
        typer.echo("run the same command again to go on")
    pending = "" if found["pending"] is None else f", {found['pending']} pending"
    typer.echo(f"{found['done']} done, {found['dropped']} dropped, {found['failed']} failed{pending}")
    if found["parts"]:
        parts = ", ".join(f"{name} {state}" for name, state in found["parts"].items())
        typer.echo(f"shards that are not merged yet: {parts}")
    for name, step in found["steps"].items():
        calls = f"{step['calls']} calls, {step['completion_tokens']} tokens, " if "calls" in step else ""
        typer.echo(f"  {name}: {calls}{step.get('dropped', 0)} dropped, {step.get('failed', 0)} failed")
    for failure in found["failures"]:
        typer.echo(f"  failed at {failure['step']}: {failure['id']}: {failure['reason']}")
