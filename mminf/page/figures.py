"""Counts the outcomes of a run: the funnel and the scores. Pure accumulators, which see each outcome once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mminf.listing import WAITING, ListedRecord
from mminf.states import RecordStatus

BINS = 20
"""Number of bins in a histogram of expected scores."""


@dataclass(frozen=True, slots=True)
class FunnelStep:
    """What happened to the records that reached a step.

    Attributes:
        entered: records that no earlier step dropped or failed.
        published: the pass rate that the method's paper reports for this step, from 0 to 1; None if it has none.
    """

    name: str
    entered: int
    dropped: int
    failed: int
    published: float | None = None

    @property
    def passed(self) -> float | None:
        """The share of the records with a result that was not dropped; None if there are none."""
        judged = self.entered - self.failed
        return (judged - self.dropped) / judged if judged > 0 else None


@dataclass(frozen=True, slots=True)
class ScoreField:
    """A field with scores, and the scale of its step."""

    name: str
    low: int
    high: int
    expected: str | None = None


@dataclass(frozen=True, slots=True)
class ScoreFigure:
    """The distribution of a score.

    Attributes:
        counts: number of records with each score of the scale.
        expected_edges: edges of the bins of the expected score; empty if there is none.
        expected_counts: number of records in each bin.
    """

    name: str
    values: tuple[int, ...]
    counts: tuple[int, ...]
    expected_edges: tuple[float, ...] = ()
    expected_counts: tuple[int, ...] = ()

    def kept(self, threshold: int) -> float | None:
        """Returns the share of scored records whose score is at least a threshold."""
        total = sum(self.counts)
        least = sum(count for value, count in zip(self.values, self.counts, strict=True) if value >= threshold)
        return least / total if total else None


def score_fields(recipe: Mapping[str, Any]) -> Iterator[ScoreField]:
    """Yields the fields that `score` steps of a run's recipe write."""
    for kind, config in steps_of(recipe):
        if kind == "score" and config.get("for_each") is None:
            low, high = config.get("scale") or (1, 5)
            yield ScoreField(config.get("writes") or config["name"], int(low), int(high), config.get("expected"))


def steps_of(recipe: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields the kind and the settings of each step of a run's recipe."""
    for step in recipe.get("steps") or []:
        for kind, config in step.items():
            if isinstance(config, Mapping) and "name" in config:
                yield kind, config


@dataclass(slots=True)
class Figures:
    """Counts outcomes.

    Args:
        stages: names of the steps, by stage.
        scores: the fields with scores.

    Attributes:
        ended: dropped and failed records, by step and state.
        waiting: records that wait for the next stage, by the stage that they have passed.
    """

    stages: Sequence[Sequence[str]]
    scores: Sequence[ScoreField] = ()
    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    done: int = 0
    waiting: Counter[int] = field(default_factory=Counter)
    _values: dict[str, Counter[int]] = field(default_factory=dict)
    _expected: dict[str, list[int]] = field(default_factory=dict)

    def add(self, outcome: ListedRecord) -> None:
        """Counts the last outcome of a record."""
        fields, state = outcome["fields"], outcome["state"]
        if state == RecordStatus.DONE:
            self.done += 1
        elif state == WAITING:
            self.waiting[outcome["stage"]] += 1
        else:
            self.ended[outcome["step"] or "source", str(state)] += 1
        for score in self.scores:
            self._count_score(score, fields)

    def _count_score(self, score: ScoreField, fields: Mapping[str, Any]) -> None:
        value = fields.get(score.name)
        if isinstance(value, int) and not isinstance(value, bool):
            self._values.setdefault(score.name, Counter())[value] += 1
        expected = fields.get(score.expected) if score.expected is not None else None
        if isinstance(expected, int | float) and score.high > score.low:
            place = int((float(expected) - score.low) / (score.high - score.low) * BINS)
            bins = self._expected.setdefault(score.name, [0] * BINS)
            bins[min(max(place, 0), BINS - 1)] += 1

    @property
    def total(self) -> int:
        """Number of records with an outcome, or that wait for a later stage."""
        return self.done + self.ended.total() + self.waiting.total()

    def funnel(self, published: Mapping[str, float] | None = None) -> list[FunnelStep]:
        """Returns the steps in order, each with the records that reached it."""
        known = [["source"], *self.stages]
        known.append(sorted({step for step, _ in self.ended} - {name for stage in known for name in stage}))
        left, found = self.total, []
        for number, stage in enumerate(known, start=-1):
            for name in stage:
                dropped, failed = self.ended[name, RecordStatus.DROPPED], self.ended[name, RecordStatus.FAILED]
                if name != "source" or failed:
                    found.append(FunnelStep(name, left, dropped, failed, (published or {}).get(name)))
                left -= dropped + failed
            left -= self.waiting[number]
        return found

    def score_figures(self) -> list[ScoreFigure]:
        """Returns the distributions of the scores that at least one record has."""
        return [self._score_figure(score) for score in self.scores if score.name in self._values]

    def _score_figure(self, score: ScoreField) -> ScoreFigure:
        counts, bins = self._values[score.name], self._expected.get(score.name)
        values = tuple(range(score.low, score.high + 1))
        width = (score.high - score.low) / BINS
        return ScoreFigure(
            score.name,
            values,
            tuple(counts[value] for value in values),
            tuple(score.low + width * n for n in range(BINS + 1)) if bins else (),
            tuple(bins or ()),
        )
