"""Estimates the time left of a run from the calls of the records that are final, and from a probe."""

from __future__ import annotations

from typing import NamedTuple


class Expected(NamedTuple):
    """The mean of a probe. `seconds` is the sum of the durations of the calls per record, in the first stage."""

    records: int
    seconds: float


class Progress(NamedTuple):
    """The part of a run that is done.

    Attributes:
        total: records of the source; None if unknown.
        settled: source records that are final.
        resumed: those that an earlier run had finished.
        measured: those whose calls were counted.
        worked: seconds of the calls that the run has made.
        answered: the same, calls from the journal included.
        final: seconds of the calls of records that are final.
        set_aside: seconds of the calls of records that were parked.
        elapsed: seconds since the first call began.
    """

    total: int | None
    settled: int
    resumed: int
    measured: int
    worked: float
    answered: float
    final: float
    set_aside: float
    elapsed: float


def time_left(progress: Progress, expected: Expected | None = None) -> float | None:
    """Returns the remaining seconds of the first stage, or None if there is no estimate.

    The work of a run is the sum of the durations of its calls. The mean work of a record comes from the records that
    are final, and from a probe, whose records count like those of the run. The work that is left is divided by the work
    per second so far. Work on records in flight counts as done. There is no estimate if it is more than is left, as
    with servers that do not answer.
    """
    total, settled = progress.total, progress.settled
    if total is None or settled >= total or progress.worked <= 0 or progress.elapsed <= 0:
        return None
    rate = progress.worked / progress.elapsed
    known = expected.records if expected is not None else 0
    before = expected.records * expected.seconds if expected is not None else 0.0
    if progress.set_aside:
        # The records run in several passes: their calls are known only from a probe, or in the last pass.
        if expected is not None:
            left = (total - progress.resumed) * expected.seconds - progress.answered
        elif progress.measured:
            left = (total - settled) * progress.final / progress.measured
        else:
            return None
    elif known + progress.measured:
        mean = (before + progress.final) / (known + progress.measured)
        left = (total - settled) * mean - (progress.answered - progress.final)
    else:
        return None
    return left / rate if left > 0 else None
