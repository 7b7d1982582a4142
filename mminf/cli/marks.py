"""`mminf marks`."""

from __future__ import annotations

import csv
import io
import json
import sys
from typing import Annotated

import typer

from mminf.cli.options import RUN_FOLDER
from mminf.cli.terminal import echo
from mminf.errors import UsageError


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("marks")(marks)


def marks(
    output: Annotated[str, RUN_FOLDER],
    as_csv: bool = typer.Option(False, "--csv", help="Print CSV with the columns id, mark, note, time."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object per mark."),
) -> None:
    """Print the marks that were given with `mminf view`.

    They are in marks.jsonl in the output folder. `mminf export --marks` writes them as columns of a dataset.

    Example:

        mminf marks out/oasis --csv > marks.csv
    """
    from mminf import api

    if as_csv and as_json:
        raise UsageError("choose one of --csv and --json")
    rows = [{"id": record, **mark._asdict()} for record, mark in api.marks(output).items()]
    if as_csv:
        text = io.StringIO()
        writer = csv.DictWriter(text, ["id", "mark", "note", "time"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        if sys.stdout.isatty():
            echo(text.getvalue().removesuffix("\n"))
        else:  # a program reads it, which must find the same ids
            sys.stdout.write(text.getvalue())
        return
    for row in rows:
        if as_json:
            echo(json.dumps(row, ensure_ascii=False))
        else:
            name, note = (" ".join(str(row[key]).split()) for key in ("id", "note"))
            echo(f"{row['mark'] or '-':4}  {name}{'  ' if note else ''}{note}")
    if not rows and not as_json:
        echo(f"{output} has no marks; `mminf view {output}` gives them")
