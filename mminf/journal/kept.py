"""The datasets that runs with failures have written next to larger ones of earlier runs, and which records failed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mminf.journal.meta import RunMeta
from mminf.journal.outcomes import Outcomes

_KEY, _FAILED = "kept", "failed"
_MOST = 10_000
"""Number of failed records from which on they are not compared."""


class Kept(NamedTuple):
    """Datasets of different runs in one output.

    Attributes:
        datasets: larger datasets of earlier runs that were not replaced -> the path that the last run wrote instead.
        outdated: smaller datasets next to a larger one that was replaced later.
    """

    datasets: Mapping[str, str]
    outdated: Sequence[str]


def read_kept(meta: RunMeta) -> Kept:
    """Returns the entry of the journal; empty for journals of earlier versions."""
    return Kept(*meta.json(_KEY, [{}, []]))


def note_kept(meta: RunMeta, kept: Kept) -> None:
    """Writes the entry to the journal."""
    meta.set(_KEY, json.dumps([dict(kept.datasets), list(kept.outdated)]))


def has_new_failures(meta: RunMeta, outcomes: Outcomes) -> bool:
    """Returns whether a record has failed that had not failed when the datasets were written.

    Otherwise a smaller dataset lacks nothing that the larger one has because of a failure: a step has dropped more.
    """
    if (failed := _failed(outcomes)) is None:
        return True
    return not set(failed) <= set(meta.json(_FAILED) or [])


def note_failed(meta: RunMeta, outcomes: Outcomes) -> None:
    """Writes to the journal which records had failed when the datasets were written."""
    meta.set(_FAILED, json.dumps(_failed(outcomes)))


def _failed(outcomes: Outcomes) -> list[str] | None:
    """Returns the ids of the failed records, or None if there are too many to be compared."""
    found = [failure.id for failure in itertools.islice(outcomes.failures(), _MOST + 1)]
    return found if len(found) <= _MOST else None
