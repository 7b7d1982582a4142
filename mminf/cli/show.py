"""`mminf show`."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mminf.cli.options import RUN_FOLDER
from mminf.cli.terminal import echo, echo_wrapped, terminal_width
from mminf.layout import amount, fold
from mminf.terminal import printable

if TYPE_CHECKING:
    from mminf.history import CallHistory, OutcomeHistory, RecordHistory

PROMPT_LINES, ANSWER_LINES, FIELD_LINES = 2, 6, 3
"""Maximum numbers of lines that are printed without `--full`."""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("show")(show)


def show(
    output: Annotated[str, RUN_FOLDER],
    record: Annotated[str, typer.Argument(help="Id of a record.")],
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
    full: bool = typer.Option(False, "--full", help="Print whole prompts, answers and fields, and all attempts."),
) -> None:
    """Show the history of a record: its outcome, its fields, and the prompts and raw answers of its calls.

    Long prompts and answers are shortened, and only the last attempt of each call is printed. `--full` prints all of
    it.

    Example:

        mminf show out/oasis cats/0001.jpg

        mminf show out/oasis cats/0001.jpg --full
    """
    from mminf import api

    found = api.show(output, record)
    if as_json:
        echo(json.dumps(found, ensure_ascii=False, indent=2))
    elif full:
        _print_full(found)
    else:
        _print_short(found)


def _print_full(found: RecordHistory) -> None:
    for outcome in found["outcomes"]:
        echo_wrapped(f"== {_headline(outcome)}", indent="   ")
        for name, value in outcome["fields"].items():
            echo_wrapped(f"   {name}: {json.dumps(value, ensure_ascii=False)}", indent="     ")
    for call in found["calls"]:
        again = f", attempt {call['attempt'] + 1}" if call["attempt"] else ""
        echo_wrapped(f"== {call['step']} of {call['record']}{again} (run {call['run']})", indent="   ")
        if prompt := _prompt(call):
            echo_wrapped(prompt)
        if call["reasoning"]:
            echo_wrapped(f"(reasoning) {call['reasoning']}")
        echo_wrapped(f"-> {call['text']}")
        echo_wrapped(f"   ({_facts(call)})", indent="    ")


def _print_short(found: RecordHistory) -> None:
    last = {outcome["id"]: outcome for outcome in found["outcomes"]}  # the outcome in the last stage
    for outcome in last.values():
        echo_wrapped(f"== {_headline(outcome)}", indent="   ")
        _print_fields(outcome["fields"])
    several = False
    for (step, record, sample), group in itertools.groupby(found["calls"], _call):
        runs = [list(calls) for _, calls in itertools.groupby(group, lambda call: call["run"])]
        for calls in runs:
            run = f" in run {calls[0]['run']}" if len(runs) > 1 else ""
            echo_wrapped(f"== {step} of {record}{_attempts(calls, sample)}{run}", indent="   ")
            for call in calls:
                if call["attempt"] == calls[-1]["attempt"]:
                    _print_call(call)
        several = several or len(runs) > 1
    if several:
        echo_wrapped("calls of several runs: a run reuses the answers of every run before it, if nothing has changed")


def _call(call: CallHistory) -> tuple[str, str, int]:
    return call["step"], call["record"], call["sample"]


def _attempts(calls: Sequence[CallHistory], sample: int) -> str:
    number = len({call["attempt"] for call in calls})
    which = f", sample {sample + 1}" if sample else ""
    return f"{which}, the last of {number} attempts" if number > 1 else which


def _print_call(call: CallHistory) -> None:
    parts = [("   ", _prompt(call), PROMPT_LINES), ("-> ", call["text"], ANSWER_LINES)]
    if call["reasoning"]:
        parts.insert(1, ("   (reasoning) ", call["reasoning"], PROMPT_LINES))
    for start, text, lines in parts:
        _print_folded(start, text, lines)
    echo_wrapped(f"   ({_facts(call)})", indent="    ")


def _print_folded(start: str, text: str, lines: int, indent: str = "   ") -> None:
    """Prints the first lines of a text.

    Args:
        start: comes before the text in the first line; its first three characters are not part of the text's lines.
        indent: of the other lines.
    """
    width = terminal_width()
    room = width and width - len(indent)
    for number, line in enumerate(fold(printable(text), lines, room, start[3:])):
        echo(f"{indent if number else start[:3]}{line}")


def _headline(outcome: OutcomeHistory) -> str:
    at = f" at {outcome['step']}" if outcome["step"] else ""
    reason = f": {outcome['reason']}" if outcome["reason"] else ""
    return f"{outcome['id']}: {outcome['state']}{at}{reason}"


def _print_fields(fields: Mapping[str, Any]) -> None:
    """Prints the fields: texts and lists first, then numbers, such as scores, on one line."""
    scores = {name: value for name, value in fields.items() if isinstance(value, int | float)}  # also true and false
    for name, value in fields.items():
        if name not in scores and name != "id":  # the headline has the id of the record; this is that of its row
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            _print_folded(f"   {name}: ", text, FIELD_LINES, "     ")
    if scores:
        text = ", ".join(f"{name} {json.dumps(value)}" for name, value in scores.items())
        _print_folded("   ", text, FIELD_LINES, "     ")


def _prompt(call: CallHistory) -> str:
    return "\n".join(f"[{role}] {_chat(parts)}" for role, parts in call["chat"] or [])


def _chat(parts: Sequence[str | Mapping[str, str]]) -> str:
    return "".join(part if isinstance(part, str) else f"<image {part['image']}>" for part in parts)


def _facts(call: CallHistory) -> str:
    tokens = f"{amount(call['prompt_tokens'], 'prompt token')}, {amount(call['completion_tokens'], 'generated token')}"
    return f"{call['finish_reason']}, {tokens}, {call['seconds']:.2f} s"
