"""Notices that a step fails the first records that reach it, all in the same way: then it will fail the others, too."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mminf.engine.plan import StagePlan
from mminf.journal import Journal

_OWN = re.compile(r"'[^']*'|\"[^\"]*\"|\S*\d\S*")
"""What of a reason is a record's own: what is quoted, and words with digits."""


def watch_first(stage: StagePlan, journal: Journal, most: int | None) -> FirstFailures:
    """Returns what watches the steps of a stage.

    A stage from which records have come before works, whatever those fail for that are tried again first.
    """
    names = [step.name for step in stage.steps]
    return FirstFailures(names, None if journal.has_done(stage.index) else most)


class FirstFailures:
    """Counts the first failures of each step, until a record gets past it.

    Args:
        steps: names of the steps to watch.
        most: so many in the same way stop the run; None: none do.
    """

    def __init__(self, steps: Iterable[str], most: int | None) -> None:
        self._most = most
        self._counts: dict[str, tuple[str, int]] = dict.fromkeys(steps, ("", 0)) if most is not None else {}

    def passed(self, step: str) -> None:
        """Notes that a record got past a step: it works."""
        self._counts.pop(step, None)

    def failed(self, step: str, reason: str) -> str | None:
        """Notes that a record failed. Returns why the run should stop, or None."""
        if step not in self._counts or self._most is None:
            return None
        kind, count = self._counts[step]
        same = _OWN.sub("…", reason)
        if kind and same != kind:
            self.passed(step)  # fails in several ways, so not because of how it is set up
            return None
        self._counts[step] = (same, count + 1)
        if count + 1 < self._most:
            return None
        return (
            f"step {step!r} failed the first {self._most} records in the same way, so the run stops: {reason}. What is "
            "done is kept, and the same command goes on; `max_same_failures: null` in the recipe lets it run anyway"
        )
