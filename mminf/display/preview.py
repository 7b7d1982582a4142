"""Shows a preview in a terminal: what the steps made of some records."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Sequence, Set
from typing import TYPE_CHECKING

from mminf.engine.previews import PreviewedOutcome, PreviewedRecord, PreviewedStep
from mminf.errors import shorten_text
from mminf.layout import amount
from mminf.record import Json
from mminf.states import RecordStatus
from mminf.terminal import make_console, printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

_STEP, _FIELD = 20, 14
"""Maximum widths of columns."""
VALUE, ROW = 240, 700
"""Characters of a value and of a row that are shown."""
_STYLES = {RecordStatus.DONE: "green", RecordStatus.DROPPED: "yellow", RecordStatus.FAILED: "red"}


def print_preview(records: list[PreviewedRecord], console: Console | None = None) -> None:
    """Prints records with their images, the fields that each step has written, their outcomes and rows.

    Args:
        console: by default, the standard output.
    """
    console = console or make_console()
    for number, record in enumerate(records, 1):
        title = f"{shorten_text(printable(record.id), 50)} ({number} of {len(records)})"
        console.rule(f"[bold]{_plain(title)}[/bold]", align="left", style="dim")
        console.print(_input(record))
        console.print()
        _print_parts(console, record)
        if not record.outcomes:
            console.print("pending\n", style="yellow")
    if len(records) > 1:
        console.print(_plain(printable(summary(records))))


def _print_parts(console: Console, record: PreviewedRecord) -> None:
    """Prints the steps and the end of a record, and of each of its children."""
    widths = _widths(record)
    parts = [*(step.record for step in record.steps), *(outcome.record for outcome in record.outcomes)]
    for part in dict.fromkeys(parts):
        if part != record.id:
            console.print(f"[bold]{_plain(printable(part.removeprefix(record.id)))}[/bold]")
        steps = [step for step in record.steps if step.record == part]
        console.print(_steps(steps, widths))
        explained = {step.step for step in steps if step.note}
        for outcome in (end for end in record.outcomes if end.record == part):
            _print_end(console, outcome, explained, widths)
        console.print()


def summary(records: Sequence[PreviewedRecord]) -> str:
    """Returns how the records ended, and at which steps: `3 records: 2 done, 1 dropped (keep 1)`."""
    ends = Counter((outcome.state, outcome.step) for record in records for outcome in record.outcomes)
    told = []
    for state in RecordStatus:
        steps = {step: number for (ended, step), number in ends.items() if ended is state}
        if steps:
            at = ", ".join(f"{step} {number}" for step, number in steps.items() if step is not None)
            told.append(f"{sum(steps.values())} {state}{f' ({at})' if at else ''}")
    if pending := sum(not record.outcomes for record in records):
        told.append(f"{pending} pending")
    children = " with their children" if any(len(record.outcomes) > 1 for record in records) else ""
    return f"{amount(len(records), 'record')}{children}: {', '.join(told)}"


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _widths(record: PreviewedRecord) -> tuple[int, int]:
    """Returns the widths of the columns with the steps and with the fields."""
    steps = [len("outcome"), *(len(step.step) for step in record.steps if step.fields or step.note)]
    fields = [len(name) for step in record.steps for name in step.fields]
    return min(_STEP, max(steps)), min(_FIELD, max(fields, default=1))


def _grid(widths: tuple[int, int] | None = None) -> Table:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0))
    for style, most, width in zip(("bold", "cyan"), (_STEP, _FIELD), widths or (None, None), strict=True):
        grid.add_column(style=style, width=width, max_width=most, overflow="fold")
    grid.add_column(overflow="fold", ratio=1)
    return grid


def _row(*cells: str, style: str = "") -> tuple[RenderableType, ...]:
    from rich.text import Text

    *first, last = cells
    return (*(Text(printable(cell)) for cell in first), Text(printable(last), style=style))


def _input(record: PreviewedRecord) -> RenderableType:
    grid = _grid()
    for uri, size in record.images:
        name = uri.rsplit("/", 1)[-1] if not uri.startswith("data:") else "data:"
        grid.add_row(*_row("image", "", f"{shorten_text(name, 100)}: {size}"))
    for number, (name, value) in enumerate(record.fields.items()):
        grid.add_row(*_row("input" if number == 0 else "", name, show_value(value)))
    return grid


def _steps(steps: list[PreviewedStep], widths: tuple[int, int]) -> RenderableType:
    grid = _grid(widths)
    for passed, group in itertools.groupby(steps, key=lambda step: not step.fields and not step.note):
        if passed:  # filters
            grid.add_row(*_row("passed", "", ", ".join(step.step for step in group), style="dim"))
            continue
        for step in group:
            name = step.step
            for field, value in step.fields.items():
                grid.add_row(*_row(name, field, show_value(value)))
                name = ""
            if step.note:
                ends = step.note.startswith(("dropped", "failed"))
                grid.add_row(*_row(name, "", shorten_text(step.note, VALUE), style="yellow" if ends else "dim"))
    return grid


def _print_end(console: Console, outcome: PreviewedOutcome, explained: Set[str], widths: tuple[int, int]) -> None:
    """Prints the end of a record, with its rows.

    Args:
        explained: steps whose reasons are shown already.
    """
    from rich.padding import Padding
    from rich.text import Text

    text = str(outcome.state)
    if outcome.step is not None:
        text += f" at {outcome.step}"
        text += "" if outcome.step in explained else f": {shorten_text(outcome.reason or '', VALUE)}"
    grid = _grid(widths)
    grid.add_row(*_row("outcome", "", text, style=_STYLES.get(outcome.state, "")))
    console.print(grid)
    for path, row in outcome.rows.items():
        console.print(Text(f"row of {printable(path)}", style="bold"))
        console.print(Padding(Text(printable(shorten_text(row, ROW))), (0, 0, 0, 2)))


def show_value(value: Json) -> str:
    """Returns a value on one line, shortened."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shorten_text(" ".join(text.split()) if isinstance(value, str) else text, VALUE)
