"""The cost of a run so far, and of the whole run in proportion to its final records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypedDict

from mminf.cost.figures import Cost

MILLION = 1_000_000
LEAST = 10
"""Number of final records below which a run is not projected."""


class EnginePrice(NamedTuple):
    """Prices of an engine per million tokens, and their currency."""

    input: float
    output: float
    currency: str


class CostStatus(TypedDict):
    """The cost of a run.

    `money` is by currency; it has no GPU-hours, and not the calls of the engines in `unpriced`, which have no price.
    """

    calls: float
    prompt_tokens: float
    completion_tokens: float
    call_seconds: float
    money: dict[str, float]
    unpriced: list[str]


def sum_cost(parts: Iterable[tuple[Cost, str, EnginePrice | None]], factor: float = 1.0) -> CostStatus:
    """Returns the sum of the costs of steps, multiplied by a factor.

    Args:
        parts: the sums over the calls of each step, with the name and the prices of its engine.
    """
    unpriced: dict[str, None] = {}
    whole = Cost()
    money: dict[str, float] = {}
    for cost, engine, price in parts:
        whole.add(cost, factor)
        if price is None and cost.calls:
            unpriced[engine] = None
        if price is not None:
            spent = (cost.prompt_tokens * price.input + cost.completion_tokens * price.output) / MILLION
            money[price.currency] = money.get(price.currency, 0.0) + factor * spent
    return CostStatus(
        calls=round(whole.calls),
        prompt_tokens=round(whole.prompt_tokens),
        completion_tokens=round(whole.completion_tokens),
        call_seconds=whole.seconds,
        money=money,
        unpriced=list(unpriced),
    )


def growth(final: int, total: int | None) -> float | None:
    """Returns the factor from the cost of the final records to that of all; None if it can't be estimated.

    Args:
        final: records of the source that are final.
        total: records of the source; None if unknown.
    """
    if total is None or final < LEAST or final >= total:
        return None
    return total / final


def read_prices(recipe: Mapping[str, object]) -> dict[str, EnginePrice]:
    """Returns the prices of the engines of a resolved recipe that have any, by the names of the engines."""
    engines = recipe.get("engines")
    found = {}
    for name, config in engines.items() if isinstance(engines, Mapping) else ():
        price = config.get("price") if isinstance(config, Mapping) else None
        if isinstance(price, Mapping):
            prompt, answer = (float(price.get(key) or 0) for key in ("input", "output"))
            found[str(name)] = EnginePrice(prompt, answer, str(price.get("currency") or ""))
    return found


def run_costs(
    recipe: Mapping[str, Any], totals: Mapping[str, tuple[float, float, float, float]], final: int, total: int | None
) -> tuple[CostStatus, CostStatus | None]:
    """Returns the cost of a run so far, and the expected cost of the whole run; None if it can't be estimated.

    Args:
        recipe: resolved, as JSON values.
        totals: calls, prompt tokens, answer tokens and seconds, by the names of the steps.
        final: records of the source that are final.
        total: records of the source; None if unknown.
    """
    prices = read_prices(recipe)
    engines = {
        config.get("name") or kind: str(config.get("engine"))
        for item in recipe.get("steps", [])
        for kind, config in item.items()
        if isinstance(config, dict)
    }
    names = {step: engines.get(step, "") for step in totals}
    spent = [(Cost(*found), names[step], prices.get(names[step])) for step, found in totals.items()]
    factor = growth(final, total)
    return sum_cost(spent), None if factor is None else sum_cost(spent, factor)
