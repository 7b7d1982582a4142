"""`mminf status`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from mminf.cli.options import RUN_FOLDER
from mminf.cli.terminal import echo
from mminf.states import RunState

if TYPE_CHECKING:
    from mminf.inspection import FailureStatus, StepStatus


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("status")(status)


def status(
    output: Annotated[str, RUN_FOLDER],
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
    failures: bool = typer.Option(False, "--failures", help="List only the failed records, all of them."),
) -> None:
    """Show the progress of a run, even while it runs.

    Example:

        mminf status out/oasis --json

        mminf status out/oasis --failures
    """
    from mminf import api

    if failures:
        for failure in api.failures(output):
            echo(json.dumps(failure, ensure_ascii=False) if as_json else _line(failure))
        return
    found = api.status(output)
    if as_json:
        echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    total = "?" if found["total"] is None else found["total"]
    echo(f"{found['recipe']}: {found['state']} (run {found['run']}, {total} records in the source)")
    if found["state"] in (RunState.KILLED, RunState.INTERRUPTED):
        echo("run the same command to resume")
    pending = "" if found["pending"] is None else f", {found['pending']} pending"
    echo(f"{found['done']} done, {found['dropped']} dropped, {found['failed']} failed{pending}")
    if found["parts"]:
        parts = ", ".join(f"{name} {state}" for name, state in found["parts"].items())
        echo(f"shards that are not merged yet: {parts}")
    for line in _step_lines(found["steps"]):
        echo(line)
    for failure in found["failures"]:
        echo(f"  {_line(failure)}")
    if found["failed"] > len(found["failures"]):
        echo(f"  and {found['failed'] - len(found['failures'])} more: mminf status {output} --failures")


def _step_lines(steps: Mapping[str, StepStatus]) -> Iterator[str]:
    for name, step in steps.items():
        if re.fullmatch(r".+\.\d+", name) and not any(step.values()):
            continue  # a later round of a `repeat` in which nothing happened
        calls = f"{step['calls']} calls, {step['completion_tokens']} tokens, " if "calls" in step else ""
        yield f"  {name}: {calls}{step.get('dropped', 0)} dropped, {step.get('failed', 0)} failed"


def _line(failure: FailureStatus) -> str:
    return f"failed at {failure['step']}: {failure['id']}: {failure['reason']}"
