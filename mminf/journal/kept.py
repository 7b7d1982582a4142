"""The datasets that runs with failures have written next to larger ones of earlier runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mminf.journal.meta import RunMeta

_KEY = "kept"


class Kept(NamedTuple):
    """What is next to each other in an output.

    Attributes:
        datasets: the larger datasets of earlier runs that the last run kept, with the paths that it wrote instead.
        outdated: the smaller datasets next to datasets that were replaced since.
    """

    datasets: Mapping[str, str]
    outdated: Sequence[str]


def read_kept(meta: RunMeta) -> Kept:
    """Returns what the last run noted; empty for journals of earlier versions."""
    return Kept(*meta.json(_KEY, [{}, []]))


def note_kept(meta: RunMeta, kept: Kept) -> None:
    """Writes it to the journal."""
    meta.set(_KEY, json.dumps([dict(kept.datasets), list(kept.outdated)]))
