"""Projects the figures of some records to a whole run, and computes its time and its cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mminf.cost.figures import Cost, Figures, add_costs

MILLION = 1_000_000
MONEY = "money:"
"""Prefix of the names of sums of money, before the currency."""


@dataclass(frozen=True, slots=True)
class EngineTerms:
    """What is known of an engine before the run.

    Attributes:
        model: name of the engine whose model it uses; engines with equal settings share one.
        capacity: number of calls in flight that keep it busy.
        gpus: number of GPUs that it takes; 0 if unknown.
        load_seconds: seconds that all its loads take.
        input_price, output_price: per million tokens.
        gpu_price: per hour and GPU.
        currency: of the prices; empty if it is not given.
        priced: whether the recipe has prices of the engine.
    """

    name: str
    model: str
    capacity: int = 1
    gpus: int = 0
    load_seconds: float = 0.0
    input_price: float = 0.0
    output_price: float = 0.0
    gpu_price: float = 0.0
    currency: str = ""
    priced: bool = False


@dataclass(frozen=True, slots=True)
class RunTerms:
    """What is known of a run before it starts.

    Attributes:
        records: records that it takes from the source.
        target: number of accepted records at which it stops; None: it takes all records.
        window: maximum number of records in flight.
        most: for each stage, the maximum number of records that it keeps (`limit`, `top`), or None.
        engines: the engines by name.
        together: whether all models are loaded at the same time.
        gpus: number of GPUs that the run holds; None: derived from the engines.
    """

    records: int
    engines: Mapping[str, EngineTerms]
    most: Sequence[int | None]
    target: int | None = None
    window: int = 64
    together: bool = True
    gpus: int | None = None


@dataclass(slots=True)
class StageProjection:
    """The projection of one stage.

    Attributes:
        inputs: records that enter it.
        seconds: mean duration of a record in it.
        longest: duration of the slowest record in it.
        by_engine: sums over the calls of each engine.
    """

    inputs: float = 0.0
    seconds: float = 0.0
    longest: float = 0.0
    by_engine: dict[str, Cost] = field(default_factory=dict)


@dataclass(slots=True)
class Projection:
    """The projection of a run. `records` are taken from the source, and `accepted` pass all stages."""

    records: float
    accepted: float
    stages: list[StageProjection]


def project(figures: Figures, terms: RunTerms, weights: Mapping[str, int]) -> Projection:
    """Projects figures to a run.

    Args:
        weights: how often each record of the probe counts, by id.
    """
    whole = _project(figures, terms, weights, terms.records)
    if terms.target is None or whole.accepted <= terms.target:
        return whole
    # The records in flight when the target is reached are processed as well.
    needed = terms.records * terms.target / whole.accepted + min(terms.window, terms.records)
    return _project(figures, terms, weights, min(terms.records, needed))


def _project(figures: Figures, terms: RunTerms, weights: Mapping[str, int], records: float) -> Projection:
    stages = []
    entering = float(records)
    for number, roots in enumerate(figures.roots):
        inputs = outputs = 0
        seconds = 0.0
        sums: dict[str, Cost] = {}
        for root, found in roots.items():
            if weight := weights.get(root, 0):
                inputs += weight * found.inputs
                outputs += weight * found.outputs
                seconds += weight * found.seconds
                for name, cost in found.by_engine.items():
                    sums.setdefault(name, Cost()).add(cost, weight)
        scale = entering / inputs if inputs else 0.0
        scaled = {name: Cost() for name in sums}
        for name, cost in sums.items():
            scaled[name].add(cost, scale)
        mean = seconds / inputs if inputs else 0.0
        stages.append(StageProjection(entering, mean, figures.longest[number], scaled))
        most = terms.most[number]
        entering = scale * outputs if most is None else min(entering, most)
    return Projection(records, entering, stages)


class Overlap(NamedTuple):
    """How much of the work of a run is not done at the same time as other work.

    Attributes:
        windows: number of windows of records that use only one model at a time.
        last: share of the slowest record's duration in which it is alone at the end.
    """

    windows: float
    last: float


FULL, USUAL, LITTLE = Overlap(0, 0), Overlap(1, 0.5), Overlap(3, 1)


def price(
    projection: Projection, terms: RunTerms, slower: Mapping[str, float], overlap: Overlap = USUAL
) -> dict[str, float]:
    """Returns the sums of a projected run: calls, tokens, seconds, GPU-hours, and money by currency.

    Args:
        slower: factor by which the calls of an engine take longer than in the probe.
    """
    costs = add_costs(stage.by_engine for stage in projection.stages)
    seconds = sum(_stage_seconds(stage, terms, slower, overlap) for stage in projection.stages)
    if costs:
        seconds += sum(engine.load_seconds for engine in terms.engines.values())
    hours = _gpu_hours(costs, terms, seconds, slower)
    found = {
        "records": projection.records,
        "accepted": projection.accepted,
        "calls": sum(cost.calls for cost in costs.values()),
        "prompt_tokens": sum(cost.prompt_tokens for cost in costs.values()),
        "completion_tokens": sum(cost.completion_tokens for cost in costs.values()),
        "engine_seconds": sum(cost.seconds * slower.get(name, 1.0) for name, cost in costs.items()),
        "seconds": seconds,
        "gpu_hours": sum(hours.values()),
    }
    for name, engine in terms.engines.items():
        if engine.priced:
            cost = costs.get(name, Cost())
            tokens = cost.prompt_tokens * engine.input_price + cost.completion_tokens * engine.output_price
            key = MONEY + engine.currency
            found[key] = found.get(key, 0.0) + tokens / MILLION + hours.get(name, 0.0) * engine.gpu_price
    return found


def _stage_seconds(stage: StageProjection, terms: RunTerms, slower: Mapping[str, float], overlap: Overlap) -> float:
    """Returns the duration of a stage.

    The model that takes longest determines it. The others work at the same time, except while the first records have
    not reached them, and the last ones have left them; then, some of the slowest record's duration passes until it is
    final. With fewer records than the models can process at once, the slowest record determines the duration.
    """
    busy = _busy(stage.by_engine, terms, slower)
    longest, whole = max(busy.values(), default=0.0), sum(busy.values())
    alone = min(1.0, overlap.windows * terms.window / stage.inputs) if terms.together and stage.inputs else 1.0
    before = sum(cost.seconds for cost in stage.by_engine.values())
    after = sum(cost.seconds * slower.get(name, 1.0) for name, cost in stage.by_engine.items())
    factor = after / before if before else 1.0
    slowest = factor * stage.longest if stage.inputs >= 1 else 0.0
    each = factor * stage.seconds * stage.inputs / max(1.0, min(terms.window, stage.inputs))
    return max(longest + alone * (whole - longest) + overlap.last * slowest, each, slowest)


def _busy(costs: Mapping[str, Cost], terms: RunTerms, slower: Mapping[str, float]) -> dict[str, float]:
    """Returns by model the seconds in which it processes its calls, with as many in flight as it can process."""
    found: dict[str, float] = {}
    for name, cost in costs.items():
        engine = terms.engines[name]
        seconds = cost.seconds * slower.get(name, 1.0) / max(1, engine.capacity)
        found[engine.model] = found.get(engine.model, 0.0) + seconds
    return found


def _gpu_hours(
    costs: Mapping[str, Cost], terms: RunTerms, seconds: float, slower: Mapping[str, float]
) -> dict[str, float]:
    """Returns the GPU-hours of each model: they hold their GPUs together, or one after the other."""
    busy = _busy(costs, terms, slower)
    gpus = {model: terms.engines[model].gpus for model in busy}
    held = terms.gpus if terms.gpus is not None else (sum if terms.together else max)([*gpus.values(), 0])
    shares = {model: float(gpus[model]) if terms.together else busy[model] for model in busy if gpus[model]}
    whole = sum(shares.values())
    return {model: held * seconds / 3600 * share / whole for model, share in shares.items()} if whole else {}
