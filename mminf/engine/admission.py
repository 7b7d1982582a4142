"""Decides how many records of the source a stage takes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from mminf.record import Record
from mminf.source.base import BadRow

FIRST_GUESS = 0.25
"""Estimated share of accepted records, before any record is done."""
LEAST_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one stage.

    Attributes:
        window: maximum number of records in flight.
        last: maximum number of records in flight when at most this many are left. The calls of a record run one after
            another, so at the end more records in flight are needed to keep an engine busy.
        target: no more records are taken from the source once this many are accepted; None: all are taken.
        total: number of records to take; None if it is unknown.
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
        """Returns how many records to park until the target is probably reached, by the share accepted so far."""
        if self._target is None:
            return math.inf
        share = max(LEAST_SHARE, accepted / self._taken) if self._taken else FIRST_GUESS
        return math.ceil(1.1 * (self._target - accepted) / share) + 16
