"""Detects that a step fails its first records in the same way, so that it would fail all others as well."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

from mminf.engine.plan import StagePlan
from mminf.journal.outcomes import Outcomes

ALIKE = 0.6
"""Two reasons are the same if they share this fraction of their words."""
_OWN = re.compile(r"'[^']*'|\"[^\"]*\"|\S*\d\S*")
"""Parts of a reason that differ from record to record: quoted text, and words with digits."""


def watch_first(stage: StagePlan, outcomes: Outcomes, most: int | None) -> FirstFailures:
    """Returns the watcher of the steps of a stage.

    A stage in which a record has been done before is not watched: it works.
    """
    names = [step.name for step in stage.steps]
    return FirstFailures(names, None if outcomes.has_done(stage.index) else most)


class FirstFailures:
    """Watches the first records that reach each step, in order, until one of them passes the step.

    Fast failures overtake calls in flight. Therefore the records that start first count, not those that end first.

    Args:
        steps: names of the steps to watch.
        most: number of failures in the same way that stops the run; None: no limit.
    """

    def __init__(self, steps: Iterable[str], most: int | None) -> None:
        self._watched = {step: _Watched(most) for step in steps} if most is not None else {}

    def begin(self, step: str) -> int:
        """Returns the number of a record that reaches a step."""
        watched = self._watched.get(step)
        return watched.begin() if watched is not None else 0

    def passed(self, step: str) -> None:
        """Notes that a record passed a step: it works."""
        self._watched.pop(step, None)

    def left_out(self, step: str, number: int) -> None:
        """Notes that a record does not count for a step: its condition is false, or it lacks a field."""
        if (watched := self._watched.get(step)) is not None:
            watched.left_out(number)

    def failed(self, step: str, number: int, reason: str) -> str | None:
        """Notes that a record failed. Returns why the run should stop, or None."""
        if (watched := self._watched.get(step)) is None:
            return None
        if not watched.failed(number, _OWN.sub("…", reason)):
            self.passed(step)  # different failures: the settings of the step are not the cause
            return None
        if not watched.is_over:
            return None
        return (
            f"step {step!r} failed the first {watched.most} records in the same way, so the run stops: {reason}. "
            "Progress is saved. Fix the cause (`mminf help troubleshooting`) and run the same command to resume; if it "
            "was the model or its server, whose answers are kept, `mminf retry` the output first. Or set "
            "`max_same_failures: null` in the recipe to continue anyway"
        )


class _Watched:
    """The first records of one step."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._begun = 0
        self._last = most  # records before this one count
        self._failed = 0
        self._words: list[str] | None = None

    @property
    def is_over(self) -> bool:
        return self._failed >= self.most

    def begin(self) -> int:
        self._begun += 1
        return self._begun - 1

    def left_out(self, number: int) -> None:
        self._last += number < self._last

    def failed(self, number: int, reason: str) -> bool:
        """Counts a failure. Returns whether it is like the others."""
        if number >= self._last:
            return True
        words = reason.split()
        if self._words is not None and SequenceMatcher(None, words, self._words).ratio() < ALIKE:
            return False
        self._words = self._words or words
        self._failed += 1
        return True
