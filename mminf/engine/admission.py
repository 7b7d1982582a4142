"""Decides how many records of the source a stage takes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from mminf.record import Record
from mminf.source.base import BadRow

FIRST_GUESS = 0.25
"""Share of records that a recipe with filters accepts, before any is done."""
LEAST_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one stage.

    Attributes:
        window: records in flight at most.
        last: records in flight when no more than these are left to take. The calls of one record go one after the
            other, so the last ones keep an engine full for longer if more of them are under way.
        target: no more records are taken from the source once this many are accepted; None: all are taken.
        total: number of records that will come, where that is known.
    """

    window: int
    last: int = 0
    target: int | None = None
    total: int | None = None


class Admission:
    """Takes records from a source while more are needed.

    Attributes:
        position: number of the last record that was taken; None when there are no more.
    """

    def __init__(self, target: int | None) -> None:
        self.position: int | None = None
        self._target = target
        self._taken = 0
        self._exhausted = False

    def has_enough(self, accepted: int) -> bool:
        """Returns whether the target is reached."""
        return self._target is not None and accepted >= self._target

    def is_over(self, accepted: int) -> bool:
        """Returns whether no more records are taken."""
        return self._exhausted or self.has_enough(accepted)

    def take(self, records: Iterator[Record | BadRow]) -> Record | BadRow | None:
        """Returns the next record; None if there is none."""
        record = next(records, None)
        if record is None:
            self._exhausted = True
            self.position = None
            return None
        self._taken += 1
        self.position = record.seq
        return record

    def needed(self, accepted: int) -> float:
        """Returns how many records must be parked on their way to contain what the target lacks, by those so far."""
        if self._target is None:
            return math.inf
        share = max(LEAST_SHARE, accepted / self._taken) if self._taken else FIRST_GUESS
        return math.ceil(1.1 * (self._target - accepted) / share) + 16
