"""`mminf status`."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mminf.cli.options import RUN_FOLDER
from mminf.cli.terminal import echo, echo_wrapped, terminal_width
from mminf.errors import shorten_text
from mminf.layout import amount, duration, table, wrap_command
from mminf.reasons import OTHER
from mminf.states import RunState

if TYPE_CHECKING:
    from mminf.inspection import FailureStatus, ReasonStatus, RunStatus, StepStatus

MOST_REASONS = 10
"""Maximum number of reasons that are printed for a step."""
_EXAMPLE = 200
"""Maximum length of an example of a reason."""
_TITLES = ("step", "calls", "prompt\ntokens", "generated\ntokens", "rows\ndropped", "rows\nfailed")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("status")(status)


def status(
    output: Annotated[str, RUN_FOLDER],
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
    failures: bool = typer.Option(False, "--failures", help="List only the failed records, all of them."),
) -> None:
    """Show the progress of a run, even while it runs.

    `mminf list` lists its records.

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
    for line in _summary(output, found):
        echo_wrapped(line, indent="    ")
    echo()
    for line in table(_TITLES, list(_step_rows(found["steps"])), terminal_width()):
        echo(line)
    for line in _reasons(found["reasons"]):
        echo_wrapped(line, indent="    ")
    for line in _how_to_list(output, found["reasons"]):
        echo(line)  # a command must not be broken


def _summary(output: str, found: RunStatus) -> Iterator[str]:
    from mminf.display.cost import cost_lines

    yield f"{found['recipe']}: {found['state']} ({_when(found)})"
    if found["error"] is not None:
        yield f"  ended by an error: {found['error']}"
    if found["state"] in (RunState.KILLED, RunState.INTERRUPTED):
        yield "  run the same command to resume"
    total = "unknown" if found["total"] is None else f"{found['total']:,}"
    pending = "" if found["pending"] is None else f", {found['pending']:,} pending"
    yield f"  source records: {total} in total{pending}"
    waiting = f", {found['waiting']:,} waiting for a later stage" if found["waiting"] else ""
    yield f"  rows: {found['done']:,} done, {found['dropped']:,} dropped, {found['failed']:,} failed{waiting}"
    yield from _datasets(output, found)
    if found["log"] is not None:
        yield f"  log {output.rstrip('/')}/{found['log']}"
    for line in cost_lines(found["cost"], found["expected_cost"], _awaited(found)):
        yield f"  {line}"
    if found["gpu_hours"]:
        yield f"  {found['gpu_hours']:,.3g} GPU-hours"
    if found["run"] > 1:
        yield f"  calls and tokens are those of all {found['run']} runs, rows those of the last one"
    if found["parts"]:
        parts = ", ".join(f"{name} {state}" for name, state in found["parts"].items())
        yield f"  shards that are not merged yet: {parts}"


def _datasets(output: str, found: RunStatus) -> Iterator[str]:
    for dataset in found["datasets"]:
        rows = dataset["rows"]
        said = "not written yet" if rows is None else amount(rows, "row")
        gone = "" if dataset["exists"] or rows is None else "; the file was removed"
        instead = dataset["instead"]
        kept = "" if instead is None else f"; of an earlier run, because it is larger than {instead} of the last one"
        yield f"  dataset {output.rstrip('/')}/{dataset['path']}: {said}{gone or kept}"


def _awaited(found: RunStatus) -> str | None:
    """Returns the name of the step over all records that records wait for, or None."""
    stages = zip(found["waiting_after"], found["stages"][1:], strict=False)
    return next((steps[0] for waiting, steps in stages if waiting), None)


def _when(found: RunStatus) -> str:
    parts = [f"run {found['run']}"]
    if (started := found["started_at"]) is not None:
        parts.append(time.strftime("started %Y-%m-%d %H:%M:%S", time.localtime(started)))
    if (seconds := found["seconds"]) is not None:
        active = found["state"] in (RunState.RUNNING, RunState.WRITING)
        parts.append(f"{'running for' if active else 'took'} {duration(seconds)}")
    return ", ".join(parts)


def _step_rows(steps: Mapping[str, StepStatus]) -> Iterator[Sequence[str]]:
    for name, step in steps.items():
        if re.fullmatch(r".+\.\d+", name) and not any(step.values()):
            continue  # a later round of a `repeat` in which nothing happened
        calls = (step.get("calls"), step.get("prompt_tokens"), step.get("completion_tokens"))
        counts = (step["dropped"], step["failed"])
        yield (name, *("" if number is None else f"{number:,}" for number in calls), *(f"{n:,}" for n in counts))


def _reasons(reasons: Sequence[ReasonStatus]) -> Iterator[str]:
    for (step, state), group in itertools.groupby(reasons, lambda reason: (reason["step"], reason["state"])):
        found = list(group)
        yield ""
        yield f"{step}: {amount(sum(reason['rows'] for reason in found), 'row')} {state}"
        shown = found if len(found) <= MOST_REASONS else found[: MOST_REASONS - 1]
        lines = [(amount(reason["rows"], "row"), reason["reason"]) for reason in shown]
        if rest := found[len(shown) :]:
            lines.append((amount(sum(reason["rows"] for reason in rest), "row"), f"{len(rest)} other reasons"))
        wide = max(len(rows) for rows, _ in lines)
        examples = {reason["reason"]: reason["example"] for reason in shown if reason["reason"].count("…") > 1}
        for rows, reason in lines:
            yield f"  {rows:>{wide}}: {reason}"
            if reason in examples:
                yield f"  {'':{wide}}  such as: {shorten_text(examples[reason], _EXAMPLE)}"


def _how_to_list(output: str, reasons: Sequence[ReasonStatus]) -> Iterator[str]:
    known = [reason for reason in reasons if reason["reason"] not in ("", OTHER)]
    if known:
        first = max(known, key=lambda reason: reason["rows"])
        command = ["mminf", "list", output, f"--{first['state']}", "--step", first["step"], "--reason", first["reason"]]
        yield ""
        yield "to list such records:"
        yield from wrap_command(command, terminal_width())


def _line(failure: FailureStatus) -> str:
    from mminf.reasons import tell_failure

    return tell_failure(failure["step"], failure["id"], failure["reason"])
