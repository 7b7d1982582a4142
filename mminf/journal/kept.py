"""The datasets that runs with failures have written next to larger ones of earlier runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mminf.journal.meta import RunMeta

_KEY = "kept"


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
