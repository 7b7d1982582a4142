"""`mminf list`."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from mminf.cli.options import RUN_FOLDER
from mminf.cli.terminal import echo, echo_wrapped, terminal_width
from mminf.layout import amount, columns, fit, fit_id, fit_name, pad
from mminf.states import RecordStatus
from mminf.terminal import printable

if TYPE_CHECKING:
    from mminf.listing import ListedRecord, Listing

_PEEK = 200
"""The number of records by whose ids the columns are aligned; later ids may be longer."""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("list")(list_records)


def list_records(
    output: Annotated[str, RUN_FOLDER],
    done: bool = typer.Option(False, "--done", help="List accepted records."),
    dropped: bool = typer.Option(False, "--dropped", help="List dropped records."),
    failed: bool = typer.Option(False, "--failed", help="List failed records."),
    step: str | None = typer.Option(None, "--step", help="Only records that this step dropped or failed."),
    reason: str | None = typer.Option(
        None, "--reason", help="Only records with this text in their reason, such as a reason of `mminf status`."
    ),
    where: str | None = typer.Option(
        None, "--where", help="Only records for which this expression over their fields is true."
    ),
    limit: int | None = typer.Option(None, "--limit", min=0, help="List at most this many records."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object per record, with its fields."),
) -> None:
    """List the records of a run: id, outcome, and the step and the reason of a drop or failure.

    A terminal gets one line per record, in which long reasons are shortened. Other outputs get tab-separated columns
    with the whole texts.

    Example:

        mminf list out/oasis --dropped --step keep --reason 'solvability < 3'

        mminf list out/oasis --done --where 'clarity >= 4 and instruction is chinese' --json
    """
    from mminf import api

    chosen = zip((done, dropped, failed), (RecordStatus.DONE, RecordStatus.DROPPED, RecordStatus.FAILED), strict=True)
    listing = api.list_records(
        output,
        outcomes=[str(state) for wanted, state in chosen if wanted],
        step=step,
        reason=reason,
        where=where,
        fields=as_json,
    )
    records = itertools.islice(listing, limit)
    number = 0
    for number, line in enumerate(_json(records) if as_json else _lines(records, terminal_width()), 1):  # noqa: B007
        echo(line)
    for note in _notes(output, listing, number, limit):
        echo_wrapped(note, err=True)


def _json(records: Iterator[ListedRecord]) -> Iterator[str]:
    return (json.dumps(record, ensure_ascii=False) for record in records)


def _lines(records: Iterator[ListedRecord], width: int | None) -> Iterator[str]:
    if width is None:
        for record in records:
            yield "\t".join(
                map(_one_line, (record["id"], record["state"], record["step"] or "", record["reason"] or ""))
            )
        return
    first = list(itertools.islice(records, _PEEK))
    name = max((columns(_name(record, width)) for record in first), default=0)
    step = max((columns(_step(record, width)) for record in first), default=0)
    for record in itertools.chain(first, records):
        start = "  ".join(
            (pad(_name(record, width), name), pad(record["state"], len("dropped")), pad(_step(record, width), step))
        )
        yield f"{start}  {fit(printable(record['reason'] or ''), width - columns(start) - 2)}".rstrip()


def _name(record: ListedRecord, width: int) -> str:
    return fit_id(_one_line(printable(record["id"])), width * 2 // 5)


def _step(record: ListedRecord, width: int) -> str:
    return fit_name(record["step"] or "", width // 4)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _notes(output: str, listing: Listing, number: int, limit: int | None) -> Iterator[str]:
    """Yields what the user should know in addition to the list; it is not part of the output."""
    if number == 0 and limit != 0:
        yield "no record of the run meets the conditions" if listing.is_filtered else "the run has no records yet"
    if listing.damage is not None:
        yield f"{amount(listing.broken, 'row')} can't be read, and not listed: {listing.damage}"
    if listing.unevaluated:
        yield (
            f"{amount(listing.unevaluated, 'record')} not listed, because --where can't be evaluated; the first: "
            f"{listing.problem}"
        )
    if listing.pending and number != limit:
        yield (
            f"{amount(listing.pending, 'source record')} not processed yet, and not listed; "
            f"`mminf status {output}` shows the state of the run"
        )
