"""Estimates the cost of a run from the figures of a probe."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mminf.cost.figures import Cost, Figures, add_costs
from mminf.cost.project import FULL, LITTLE, MONEY, RunTerms, price, project
from mminf.cost.speed import Slowdown, measure_slowdown

RESAMPLES, MOST_DRAWS = 400, 200_000
"""Number of resamples, and maximum number of records that are drawn for them together."""
SHARE = 0.9
"""Share of the resamples that a range contains."""


@dataclass(frozen=True, slots=True)
class Estimated:
    """An estimated number with its range."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimated cost of a run, with the calls that the probe has made.

    Attributes:
        probed: records that it was estimated from.
        records: records that the run takes from the source.
        accepted: records that pass all steps.
        engine_seconds: sum of the durations of all calls.
        seconds: duration of the run, in one process.
        gpu_hours: None if no engine is known to take a GPU.
        money: by currency; empty without prices.
        by_engine: means of the estimated sums of each engine.
    """

    probed: int
    records: Estimated
    accepted: Estimated
    calls: Estimated
    prompt_tokens: Estimated
    completion_tokens: Estimated
    engine_seconds: Estimated
    seconds: Estimated
    gpu_hours: Estimated | None
    money: Mapping[str, Estimated]
    by_engine: Mapping[str, Cost] = field(default_factory=dict)


def estimate(figures: Figures, terms: RunTerms) -> Estimate:
    """Returns the estimated cost of a run.

    Each record of the probe counts with all its children and all its retries. The ranges contain 90 % of 400 resamples
    of the records (bootstrap). The records of the probe themselves are certain, so a probe of all records has no range.

    Raises:
        ValueError: if there are no figures.
    """
    roots = sorted(figures.roots[0])  # resamples must not depend on the order in which the records ended
    if not roots:
        raise ValueError("no record was processed")
    everything = dict.fromkeys(roots, 1)
    slowdowns = _slowdowns(figures, terms)
    projected = project(figures, terms, everything)
    best = price(projected, terms, {name: slowdown.factor for name, slowdown in slowdowns.items()})
    lows: list[dict[str, float]] = []
    highs: list[dict[str, float]] = []
    drawn = random.Random(0)
    resamples = max(100, min(RESAMPLES, MOST_DRAWS // len(roots)))
    for _ in range(resamples):
        resampled = project(figures, terms, Counter(drawn.choices(roots, k=len(roots))))
        lows.append(price(resampled, terms, {name: slowdown.low for name, slowdown in slowdowns.items()}, FULL))
        highs.append(price(resampled, terms, {name: slowdown.high for name, slowdown in slowdowns.items()}, LITTLE))
    wide = _spread(len(roots), terms.records)
    probed = min(1.0, len(roots) / max(1, terms.records))

    def between(name: str) -> Estimated:
        value = best[name]
        low = sorted(item[name] for item in lows)[round((1 - SHARE) / 2 * (resamples - 1))]
        high = sorted(item[name] for item in highs)[round((1 + SHARE) / 2 * (resamples - 1))]
        lowest = max(value - wide * max(0.0, value - low), probed * value)  # what the probe took is the least
        return Estimated(value, lowest, value + wide * max(0.0, high - value))

    return Estimate(
        probed=len(roots),
        records=between("records"),
        accepted=_bounded(between("accepted"), figures, terms.records),
        calls=between("calls"),
        prompt_tokens=between("prompt_tokens"),
        completion_tokens=between("completion_tokens"),
        engine_seconds=between("engine_seconds"),
        seconds=between("seconds"),
        gpu_hours=between("gpu_hours") if best["gpu_hours"] else None,
        money={name.removeprefix(MONEY): between(name) for name in best if name.startswith(MONEY)},
        by_engine=add_costs(stage.by_engine for stage in projected.stages),
    )


def _bounded(accepted: Estimated, figures: Figures, records: int) -> Estimated:
    """Returns the estimate of accepted records with a range that no outcome of the run can leave.

    Resamples of equal records are equal. If no record of the probe was accepted, or all were, the range ends where a
    probe like this one has a probability of 5 %. A record gives at most as many rows as the best one of the probe.
    """
    found = figures.accepted()
    probed, passed = figures.records, len(found)
    left = max(0, records - probed)
    others = left * (1 - ((1 - SHARE) / 2) ** (1 / probed))
    low, high = accepted.low, accepted.high
    if passed == 0:
        high = max(high, others)
    elif passed == probed:
        low = min(low, accepted.value - others * accepted.value / records)
    most = found.total() + left * max(found.values(), default=1)
    return replace(accepted, low=low, high=max(accepted.value, min(high, most)))


def _spread(probed: int, records: int) -> float:
    """Returns the factor of a range: what was probed is certain, and resamples of few records vary too little."""
    if probed >= records:
        return 0.0
    return float(((1 - probed / records) * probed / max(1, probed - 1)) ** 0.5)


def _slowdowns(figures: Figures, terms: RunTerms) -> dict[str, Slowdown]:
    """Returns by engine how much longer its calls take in the run than in the probe."""
    more = max(1.0, min(terms.window, terms.records) / max(1, min(terms.window, figures.records)))
    found = {}
    for name, engine in terms.engines.items():
        calls = [call for call in figures.calls if terms.engines[call.engine].model == engine.model]
        whole = sum(call.seconds for call in calls if call.in_flight) or 1.0
        now = sum(call.in_flight * call.seconds for call in calls) / whole
        found[name] = measure_slowdown(calls, min(engine.capacity, more * now))
    return found
