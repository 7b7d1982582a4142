"""How long models hold GPUs."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple


class Hold(NamedTuple):
    """The time in which a model holds a GPU, in seconds of a monotonic clock."""

    device: str
    start: float
    end: float


def gpu_seconds(holds: Iterable[Hold]) -> float:
    """Returns the GPU-seconds of all devices; a GPU that several models hold at the same time counts once."""
    total = 0.0
    for _, spans in groupby(sorted(holds), key=lambda hold: hold.device):
        until = float("-inf")
        for span in spans:
            total += max(0.0, span.end - max(span.start, until))
            until = max(until, span.end)
    return total
