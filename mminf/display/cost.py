"""Describes the cost of a run so far, and the expected cost of the whole run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mminf.cost.refine import CostStatus
from mminf.display.estimate import rounded


def cost_lines(spent: CostStatus, expected: CostStatus | None, until: str | None = None) -> Iterator[str]:
    """Yields lines for `mminf status`.

    Args:
        expected: cost of the whole run; None if unknown.
        until: step over all records that records wait for; calls after it are not in the expected cost.
    """
    if spent["calls"]:
        yield f"so far: {_sums(spent, lambda number: f'{number:,.0f}')}"
    if expected is not None and expected["calls"]:
        part = "" if until is None else f" until {until}"
        yield f"all records{part}, in proportion: about {_sums(expected, rounded)}"


def _sums(cost: CostStatus, show: Callable[[float], str]) -> str:
    """Returns the sums of a cost. `show`: writes a number of calls or tokens."""
    parts = [f"{show(cost['calls'])} {'call' if cost['calls'] == 1 else 'calls'}"]
    if cost["prompt_tokens"] or cost["completion_tokens"]:
        parts.append(f"{show(cost['prompt_tokens'])} prompt + {show(cost['completion_tokens'])} answer tokens")
    parts += [f"{rounded(amount)} {currency or 'money'}".rstrip() for currency, amount in cost["money"].items()]
    missing = f" (without {', '.join(cost['unpriced'])}, which has no price)"
    return ", ".join(parts) + (missing if cost["money"] and cost["unpriced"] else "")
