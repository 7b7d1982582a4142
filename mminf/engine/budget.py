"""The budget of a run: calls, tokens and money, over all runs into one output."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from mminf.journal import Totals
from mminf.journal.memo import Memo
from mminf.recipe.config import BudgetConfig, PriceConfig
from mminf.recipe.model import Recipe
from mminf.request import Generation
from mminf.shard import Shard

log = logging.getLogger("mminf")
MILLION = 1_000_000


@dataclass(slots=True)
class Spent:
    """The used part of a budget: answered calls, tokens of prompts and answers, and money by the engines' prices."""

    calls: float = 0
    tokens: float = 0
    money: float = 0

    def add(self, calls: float, prompt_tokens: float, completion_tokens: float, price: PriceConfig | None) -> None:
        """Adds answered calls of one engine."""
        self.calls += calls
        self.tokens += prompt_tokens + completion_tokens
        if price is not None:
            self.money += (prompt_tokens * price.input + completion_tokens * price.output) / MILLION


class Budget:
    """Determines when a run has used up the budget of its recipe.

    Calls are counted when they start, so their limit is never exceeded. Tokens and money are known only after the
    answer, so calls in flight can exceed these limits.

    Args:
        config: the recipe's budget.
        prices: prices of engines, by name.
        engine_of: engine of each step, by name.
        shard: the shard of this process; all shards have an equal share.
        before: totals by step of earlier runs, which count for all shards together.
        own: totals by step of the journal of this process.
    """

    def __init__(
        self,
        config: BudgetConfig,
        prices: Mapping[str, PriceConfig],
        engine_of: Mapping[str, str],
        *,
        shard: Shard | None = None,
        before: Mapping[str, Totals],
        own: Mapping[str, Totals],
    ) -> None:
        self._config = config
        self._prices = prices
        self._before = _sum(before, prices, engine_of)
        self._spent = _sum(own, prices, engine_of)
        self._shard = shard
        self._told: set[str] = set()
        self._in_flight = 0

    def begin(self) -> str | None:
        """Counts a call before it starts. Returns the reason if it must not start, or None."""
        if (reached := self._reached()) is not None:
            return reached
        self._in_flight += 1
        return None

    def end(self, engine: str, answer: Generation | None) -> None:
        """Counts a call that has ended; `answer` is None if there is no answer."""
        self._in_flight -= 1
        if answer is None:
            return
        if not answer.prompt_tokens and not answer.completion_tokens and engine not in self._told:
            self._told.add(engine)
            if self._config.tokens is not None or self._config.money is not None:
                log.warning("engine %r reports no token counts, so its calls don't count for the budget", engine)
        self._spent.add(1, answer.prompt_tokens, answer.completion_tokens, self._prices.get(engine))

    def _reached(self) -> str | None:
        config, spent = self._config, self._spent
        for limit, before, ours, name in (
            (config.calls, self._before.calls, spent.calls + self._in_flight, "calls"),
            (config.tokens, self._before.tokens, spent.tokens, "tokens"),
            (config.money, self._before.money, spent.money, "money"),
        ):
            if limit is not None and ours >= self._share(limit - before, whole=name == "calls"):
                return f"the budget of {limit:,.15g} {name} is used up"
        return None

    def _share(self, left: float, *, whole: bool) -> float:
        """Returns this shard's share of the remaining budget; whole shares add up to exactly the remaining budget."""
        if self._shard is None:
            return left
        if not whole:
            return left / self._shard.count
        each, rest = divmod(max(0, int(left)), self._shard.count)
        return each + (self._shard.index < rest)


def make_budget(recipe: Recipe, memo: Memo, shard: Shard | None) -> Budget | None:
    """Returns the budget of a process that works on a run, None if the recipe has none.

    Args:
        memo: memo of the run or of its shard; calls of earlier runs count.
        shard: the shard of the process; all shards have an equal share.
    """
    if recipe.run.budget is None:
        return None
    return Budget(
        recipe.run.budget,
        {name: config.price for name, config in recipe.engines.items() if config.price is not None},
        {step.name: step.engine for step in recipe.steps if step.engine is not None},
        shard=shard,
        before=memo.totals_before(),
        own=memo.totals(),
    )


def _sum(totals: Mapping[str, Totals], prices: Mapping[str, PriceConfig], engine_of: Mapping[str, str]) -> Spent:
    spent = Spent()
    for step, total in totals.items():
        price = prices.get(engine_of.get(step, ""))
        spent.add(total.calls, total.prompt_tokens, total.completion_tokens, price)
    return spent
