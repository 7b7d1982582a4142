"""What the steps of a recipe made of some records, for a preview."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mminf.engine.input import read_input
from mminf.engine.outcome import SKIPPED, StepFailure
from mminf.engine.result import RunAssets, open_sinks
from mminf.engine.run import Run
from mminf.engine.tally import StepNote
from mminf.errors import ImageError, RecordError
from mminf.image import ImagePolicy, decode_image, read_image
from mminf.journal import Journal, Row
from mminf.layout import amount
from mminf.record import Fields, Record
from mminf.sink.base import Sink
from mminf.source.base import BadRow, Source
from mminf.special_tokens import escape_row
from mminf.states import RecordStatus
from mminf.step.base import Drop
from mminf.step.outcome import is_fields


@dataclass(frozen=True, slots=True)
class PreviewedStep:
    """The result of a step for a record or one of its children.

    Attributes:
        record: id of the record or child.
        fields: the fields that the step has written.
        note: why the record ends here, or how it continues; empty if the step has only written fields.
    """

    record: str
    step: str
    fields: Fields
    note: str = ""


@dataclass(frozen=True, slots=True)
class PreviewedOutcome:
    """The end of a record or child, with its rows.

    Attributes:
        rows: for each dataset with a row of the record, the row as JSON, or the reason why it has none.
    """

    record: str
    state: RecordStatus
    step: str | None
    reason: str | None
    rows: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PreviewedRecord:
    """A record of the source in a preview.

    Attributes:
        fields: its fields in the source, other than `images` and its id.
        images: its images, each with its size or the reason why it can't be shown.
    """

    id: str
    fields: Fields
    images: list[tuple[str, str]]
    steps: list[PreviewedStep]
    outcomes: list[PreviewedOutcome]


def read_previews(run: Run, journal: Journal, source: Source) -> list[PreviewedRecord]:
    """Returns the records of a source that a run has just processed.

    Args:
        run: its counters have the results of the steps.
    """
    sinks = open_sinks(run.plan.recipe, run.target)
    tokens = journal.meta.tokens()
    for sink in sinks:
        sink.attach(RunAssets(journal, run.source.policy()))
        sink.escape(tokens)
    places = {step.name: place for place, step in enumerate(run.plan.recipe.steps)}
    notes = sorted(run.session.stats.notes or [], key=lambda note: (note.record.path, places[note.step]))
    last = run.plan.last.index
    found = []
    for record in read_input(source):
        rows = [row for row in journal.outcomes.find(record.id) if row.record().origin == record.id]
        rows.sort(key=lambda row: row.path)
        found.append(
            PreviewedRecord(
                record.id,
                _shown_fields(record),
                _images(record, run.source.policy()),
                [_step(note) for note in notes if note.record.origin == record.id],
                [_outcome(row, sinks) for row in rows if _is_end(row, last)],
            )
        )
    return found


def _shown_fields(record: Record | BadRow) -> Fields:
    if isinstance(record, BadRow):
        return {}
    return {name: value for name, value in record.fields.items() if name != "images" and value != record.id}


def _images(record: Record | BadRow, policy: ImagePolicy) -> list[tuple[str, str]]:
    named = record.fields.get("images") if isinstance(record, Record) else None
    return [(str(uri), _size(str(uri), policy)) for uri in named] if isinstance(named, list) else []


def _size(uri: str, policy: ImagePolicy) -> str:
    try:
        pixels = decode_image(read_image(uri, policy), uri, policy.max_pixels).pixels
    except ImageError as error:
        return str(error)
    return f"{pixels.width} × {pixels.height}"


def _step(note: StepNote) -> PreviewedStep:
    outcome = note.outcome
    if isinstance(outcome, StepFailure):
        return PreviewedStep(note.record.id, note.step, {}, f"failed: {outcome.reason}")
    if outcome is SKIPPED:
        return PreviewedStep(note.record.id, note.step, {}, "skipped: its condition is false")
    if isinstance(outcome, Drop):
        return PreviewedStep(note.record.id, note.step, dict(outcome.fields or {}), f"dropped: {outcome.reason}")
    if is_fields(outcome):
        return PreviewedStep(note.record.id, note.step, dict(outcome))
    children: list[Any] = list(outcome) if isinstance(outcome, list | tuple) else []
    return PreviewedStep(note.record.id, note.step, {}, f"makes {amount(len(children), 'record')}")


def _is_end(row: Row, last: int) -> bool:
    """Returns whether a row is the end of a record; one that is done continues in the next stage."""
    return row.state in (RecordStatus.DROPPED, RecordStatus.FAILED) or (
        row.state is RecordStatus.DONE and row.stage == last
    )


def _outcome(row: Row, sinks: list[Sink]) -> PreviewedOutcome:
    return PreviewedOutcome(row.id, row.state, row.step, row.reason, dict(_rows(row, sinks)))


def _rows(row: Row, sinks: list[Sink]) -> Iterator[tuple[str, str]]:
    for sink in sinks:
        wanted = sink.config.dropped_by
        done, dropped = row.state is RecordStatus.DONE, row.state is RecordStatus.DROPPED
        if done if wanted is None else (dropped and row.step == wanted):
            name, record = str(sink.config.path), row.record()
            try:
                made = sink.row(record) if sink.takes(record) else None
                if made is not None:
                    yield name, json.dumps(escape_row(made, sink.tokens), ensure_ascii=False, default=_shortly)
            except RecordError as error:
                yield name, f"left out: {error}"


def _shortly(value: object) -> str:
    """Returns a text for a value that JSON does not have, such as a vector."""
    return f"<{type(value).__name__}>"
