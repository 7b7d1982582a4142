"""`mminf show`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from mminf.cli.options import RUN_FOLDER


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("show")(show)


def show(
    output: Annotated[str, RUN_FOLDER],
    record: Annotated[str, typer.Argument(help="Id of a record.")],
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Show a record's whole history: every prompt, raw answer and score, and what became of it.

    Example:

        mminf show out/oasis cats/0001.jpg
    """
    from mminf import api

    found = api.show(output, record)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    for outcome in found["outcomes"]:
        at = f" at {outcome['step']}" if outcome["step"] else ""
        reason = f": {outcome['reason']}" if outcome["reason"] else ""
        typer.echo(f"== {outcome['id']}: {outcome['state']}{at}{_plain(reason)}")
        for name, value in outcome["fields"].items():
            typer.echo(f"   {name}: {json.dumps(value, ensure_ascii=False)}")
    for call in found["calls"]:
        again = f", attempt {call['attempt'] + 1}" if call["attempt"] else ""
        typer.echo(f"== {call['step']} of {call['record']}{again} (run {call['run']})")
        for role, parts in call["chat"] or []:
            typer.echo(f"[{role}] {_plain(_chat(parts))}")
        if call["reasoning"]:
            typer.echo(f"(reasoning) {_plain(call['reasoning'])}")
        tokens = f"{call['prompt_tokens']}+{call['completion_tokens']} tokens"
        typer.echo(f"-> {_plain(call['text'])}\n   ({call['finish_reason']}, {tokens}, {call['seconds']:.2f} s)")


def _plain(text: str) -> str:
    """Shows control characters by their escapes: a model's text must not steer the terminal."""
    return "".join(c if c == "\n" or c.isprintable() else repr(c)[1:-1] for c in text)


def _chat(parts: list[Any]) -> str:
    return "".join(part if isinstance(part, str) else f"<image {part['image']}>" for part in parts)
