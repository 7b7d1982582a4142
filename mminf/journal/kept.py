"""The datasets that runs with failures have written next to larger ones of earlier runs, and which records failed."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterable, Mapping, Sequence
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


class Failed(NamedTuple):
    """The records that had failed when a dataset was written.

    Attributes:
        at: when it was written, in seconds since 1970.
        ids: None if there were too many to be compared.
    """

    at: float
    ids: list[str] | None


def same_failures(failed: Sequence[str] | None, known: Mapping[str, Failed]) -> frozenset[str]:
    """Returns the paths of the datasets that lacked the rows of all records that have failed now.

    A smaller dataset in the place of one of these lacks nothing because of a failure: a step has dropped more.

    Args:
        failed: ids of the records that have failed; None if there are too many.
        known: datasets by path, with the records that had failed then.
    """
    if failed is None:
        return frozenset()
    return frozenset(path for path, then in known.items() if then.ids is not None and set(failed) <= set(then.ids))


def read_failed(meta: RunMeta) -> dict[str, Failed]:
    """Returns which records had failed when runs wrote their datasets, by path; empty for earlier versions."""
    return {path: Failed(float(at), ids) for path, (at, ids) in (meta.json(_FAILED) or {}).items()}


def written_at(meta: RunMeta) -> float | None:
    """Returns when a run has written datasets last, in seconds since 1970; None for earlier versions."""
    return max((found.at for found in read_failed(meta).values()), default=None)


def note_failed(meta: RunMeta, paths: Iterable[str], failed: Sequence[str] | None) -> None:
    """Writes to the journal which records had failed when datasets were written."""
    now = time.time()
    noted = read_failed(meta) | {path: Failed(now, None if failed is None else list(failed)) for path in paths}
    meta.set(_FAILED, json.dumps(noted))


def failed_records(outcomes: Outcomes) -> list[str] | None:
    """Returns the ids of the failed records, or None if there are too many to be compared."""
    found = [failure.id for failure in itertools.islice(outcomes.failures(), _MOST + 1)]
    return found if len(found) <= _MOST else None
