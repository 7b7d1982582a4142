"""`mminf show`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from mminf.cli.options import RUN_FOLDER
from mminf.cli.terminal import echo


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("show")(show)


def show(
    output: Annotated[str, RUN_FOLDER],
    record: Annotated[str, typer.Argument(help="Id of a record.")],
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Show the history of a record: every prompt, raw answer and score, and its outcome.

    Example:

        mminf show out/oasis cats/0001.jpg
    """
    from mminf import api

    found = api.show(output, record)
    if as_json:
        echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    for outcome in found["outcomes"]:
        at = f" at {outcome['step']}" if outcome["step"] else ""
        reason = f": {outcome['reason']}" if outcome["reason"] else ""
        echo(f"== {outcome['id']}: {outcome['state']}{at}{reason}")
        for name, value in outcome["fields"].items():
            echo(f"   {name}: {json.dumps(value, ensure_ascii=False)}")
    for call in found["calls"]:
        again = f", attempt {call['attempt'] + 1}" if call["attempt"] else ""
        echo(f"== {call['step']} of {call['record']}{again} (run {call['run']})")
        for role, parts in call["chat"] or []:
            echo(f"[{role}] {_chat(parts)}")
        if call["reasoning"]:
            echo(f"(reasoning) {call['reasoning']}")
        tokens = f"{call['prompt_tokens']}+{call['completion_tokens']} tokens"
        echo(f"-> {call['text']}\n   ({call['finish_reason']}, {tokens}, {call['seconds']:.2f} s)")


def _chat(parts: list[str | dict[str, str]]) -> str:
    return "".join(part if isinstance(part, str) else f"<image {part['image']}>" for part in parts)
