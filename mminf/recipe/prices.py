"""Checks the prices of a recipe's engines."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from mminf.recipe.config import BudgetConfig, EngineConfig


def find_price_problems(
    engines: Mapping[str, EngineConfig], budget: BudgetConfig | None, local: Collection[str]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yields the key and the message of each problem.

    Args:
        local: names of the engines whose models are loaded by mminf.
    """
    prices = {name: config.price for name, config in engines.items() if config.price is not None}
    for name, price in prices.items():
        if price.gpu_hour and price.gpus is None and name not in local:
            yield (
                ("engines", name, "price"),
                f"engine {name!r}: `gpu_hour` needs `gpus`, the number of GPUs of the server",
            )
    first = next(iter(prices.items()), None)
    for name, price in prices.items():
        if first is not None and price.currency != first[1].currency:
            yield (
                ("engines", name, "price"),
                f"engine {name!r}: the currency is {price.currency!r}, but that of engine {first[0]!r} is "
                f"{first[1].currency!r}; give all prices in one currency",
            )
    if budget is not None and budget.money is not None and not any(p.input or p.output for p in prices.values()):
        yield (
            ("budget", "money"),
            "`money` needs the price of an engine's tokens (`engines.NAME.price.input` or `output`)",
        )
