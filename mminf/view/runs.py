"""One run as the app shows it. Its journals are opened for each request, so that the run may be active."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mminf.engine.counts import last_wanted
from mminf.errors import ImageError, JournalError
from mminf.image import ImagePolicy, make_preview
from mminf.inspection import RunStatus, StepStatus, read_recipe, run_status
from mminf.journal import CallHistory, Journal, Place
from mminf.journal.schema import VERSION
from mminf.marks import FILE, Mark, MarkFile
from mminf.page.figures import Figures, ScoreField, score_fields
from mminf.run_folder import image_policy
from mminf.sharding.journals import open_journals
from mminf.sharding.overlay import ShardJournal
from mminf.states import RecordStatus, RunState
from mminf.view.history import (
    CallsView,
    OutcomesView,
    images_of,
    newest_row,
    read_calls,
    text_at,
    view_calls,
    view_outcomes,
)
from mminf.view.query import Query
from mminf.view.search import Page, Search
from mminf.view.text import Piece, go_on, safe
from mminf.view.text import Place as TextPlace

_FRESH, _SHARE = 1.0, 5
"""A summary is kept for a second, and for five times as long as it took: counting a large journal takes seconds."""
_REMEMBERED = 4
"""Number of records whose calls are remembered: finding them reads all calls of the journal."""
_DECODERS = threading.BoundedSemaphore(2)
"""Decoding a large image takes hundreds of megabytes."""


class RunView:
    """A run.

    Args:
        output: output folder of the run.
        label: distinguishes the runs of the app.

    Attributes:
        marks: the file with the marks of its records.
    """

    def __init__(self, output: Path, label: str) -> None:
        self.output = output
        self.label = label
        self.marks = MarkFile(output / FILE)
        self._lock = threading.Lock()
        self._summary: dict[str, Any] = {}
        self._until = 0.0
        self._policy: ImagePolicy | str | None = None
        self._last: tuple[int | None, Place | None] = (None, None)
        self._calls: OrderedDict[str, tuple[list[CallHistory], list[str]]] = OrderedDict()

    @contextlib.contextmanager
    def _open(self) -> Iterator[list[Journal]]:
        """Opens the journals. Raises JournalError if there are none, or they can't be read."""
        try:
            with open_journals(self.output) as journals:
                yield journals
        except FileNotFoundError as error:  # a shard was merged at this moment
            raise JournalError(f"the run has changed while it was read: {error}; try again") from error

    # The run

    def summary(self) -> dict[str, Any]:
        """Returns the state of the run, its funnel, and its marks. A journal that can't be read is a problem in it."""
        marks, problems = self.marks.read()
        with self._lock:
            if time.monotonic() > self._until:
                began = time.monotonic()
                self._summary = self._read_summary()
                now = time.monotonic()
                self._until = now + max(_FRESH, _SHARE * (now - began))
            summary = self._summary
        counts = {name: sum(mark.mark == name for mark in marks.values()) for name in ("good", "bad")}
        counts["note"] = sum(bool(mark.note) for mark in marks.values())
        return {**summary, "marks": counts, "problems": [*summary["problems"], *map(safe, problems[:10])]}

    def _read_summary(self) -> dict[str, Any]:
        found: dict[str, Any] = {"label": self.label, "output": str(self.output), "state": None, "problems": []}
        try:
            status, recipe = run_status(self.output), read_recipe(self.output)
            with self._open() as journals:
                version = journals[0].meta.get("version")
            self._policy = image_policy(self.output)
        except (JournalError, FileNotFoundError) as error:
            return {**found, "problems": [safe(str(error))], "funnel": [], "scores": [], "steps": []}
        problems = [] if version == str(VERSION) else [f"the journal has version {version}: its rows have no checksums"]
        return {
            **found,
            **{name: status[name] for name in ("recipe", "state", "run", "total", "done", "dropped", "failed")},
            **{name: status[name] for name in ("waiting", "pending", "parts")},
            "funnel": _funnel(status, recipe),
            "scores": [asdict(score) for score in score_fields(recipe)],
            "steps": [name for stage in status["stages"] for name in stage],
            "images": self._policy if isinstance(self._policy, str) else None,
            "problems": problems,
        }

    # Records

    def records(self, query: Query, after: str | None, limit: int) -> Page:
        """Returns the next records that are wanted; see `Search.page`."""
        marks, _ = self.marks.read()
        with self._open() as journals:
            recipe = journals[0].meta.recipe
            scores = [name for score in score_fields(recipe) for name in _names(score)]
            last = self._last_of(journals)
            return Search(journals, query, scores=scores, marks=marks, last=last).page(after, limit)

    def _last_of(self, journals: Sequence[Journal]) -> Place | None:
        """Returns `last_wanted`; remembered, because finding it reads as many rows as the target says."""
        meta = journals[0].meta
        if meta.state is not RunState.FINISHED or isinstance(journals[0], ShardJournal):
            return None
        if self._last[0] != meta.run:
            self._last = (meta.run, last_wanted(journals[0]))
        return self._last[1]

    def outcomes(self, record: str, skip: int) -> OutcomesView:
        """Returns outcomes of a record and its children."""
        with self._open() as journals:
            return view_outcomes(journals, record, skip)

    def calls(self, record: str, skip: int) -> CallsView:
        """Returns calls of a record and its children."""
        known = self._calls.get(record) if skip else None
        if known is None:
            with self._open() as journals:
                known = read_calls(journals, record)
            with self._lock:
                self._calls[record] = known
                while len(self._calls) > _REMEMBERED:
                    self._calls.popitem(last=False)
        return view_calls(*known, skip)

    def text(self, record: str, place: TextPlace, offset: int, length: int) -> Piece:
        """Returns the part of a text after the parts that were sent; see `go_on`."""
        known = self._calls.get(record)
        with self._open() as journals:
            value = text_at(journals, record, place, None if known is None else known[0])
        return go_on(value, offset, length)

    def image(self, record: str, number: int, side: int) -> bytes:
        """Returns an image of a record as a small JPEG file.

        Args:
            number: position in the record's list of images.

        Raises:
            ImageError: if there is none, or the rules of the run's source don't allow it.
            JournalError: if there is no such record.
        """
        with self._open() as journals:
            images = images_of(newest_row(journals, record))
        if self._policy is None:
            self._policy = image_policy(self.output)
        if isinstance(self._policy, str):
            raise ImageError(self._policy)
        if not 0 <= number < len(images) or not isinstance(uri := images[number], str):
            raise ImageError(f"the record has no image {number + 1}")
        with _DECODERS:
            return make_preview(uri, self._policy, side)

    # Marks

    def mark(self, record: str, changes: Mapping[str, str | None]) -> Mark:
        """Changes the mark of a record.

        Args:
            changes: its new `mark`, its new `note`, or both.

        Raises:
            JournalError: if there is no such record.
            ValueError, OSError: see `MarkFile.change`.
        """
        with self._open() as journals:
            if not any(journal.database.one("SELECT 1 FROM rows WHERE id = ?", record) for journal in journals):
                raise JournalError(f"the run has no outcome of record {record[:200]!r}")
        return self.marks.change(record, **changes)

    def mark_of(self, record: str) -> dict[str, Any]:
        """Returns the mark of a record as JSON values."""
        marks, _ = self.marks.read()
        return marks.get(record, Mark(None))._asdict()


def _names(score: ScoreField) -> list[str]:
    return [score.name] if score.expected is None else [score.name, score.expected]


def _funnel(status: RunStatus, recipe: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns what happened to the records that reached each step, and what its calls cost."""
    figures = Figures(status["stages"], done=status["done"])
    figures.waiting.update(dict(enumerate(status["waiting_after"])))
    for name, step in status["steps"].items():
        figures.ended[name, RecordStatus.DROPPED] = step["dropped"]
        figures.ended[name, RecordStatus.FAILED] = step["failed"]
    figures.ended["source", RecordStatus.FAILED] = status["failed"] - sum(
        step["failed"] for step in status["steps"].values()
    )
    published = (recipe.get("published") or {}).get("pass_rates")
    return [
        {**asdict(figure), "passed": figure.passed, **_cost(status["steps"].get(figure.name))}
        for figure in figures.funnel(published)
    ]


def _cost(step: StepStatus | None) -> dict[str, int]:
    if step is None:
        return {"calls": 0, "tokens": 0}
    return {
        "calls": step.get("calls", 0),
        "tokens": step.get("prompt_tokens", 0) + step.get("completion_tokens", 0),
    }
