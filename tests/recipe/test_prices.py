"""Prices of engines: which ones are refused, and how the message says it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import mminf
from mminf.errors import RecipeError

RECIPE = """
engines:
  a: {{backend: {backend}, model: m, price: {price}}}
  b: {{backend: scripted, answer: hi, price: {other}}}
budget: {budget}
source: {{jsonl: rows.jsonl}}
steps:
  - generate: {{engine: a, prompt: hi}}
sinks: [{{jsonl: o.jsonl}}]
"""


def load(write_recipe: Callable[[str], Path], backend: str = "openai", **parts: str) -> None:
    given = {"price": "null", "other": "null", "budget": "null", **parts}
    mminf.load(write_recipe(RECIPE.format(backend=backend, **given)))


@pytest.mark.parametrize(
    "price",
    [
        "{input: 0.15, output: 0.6, currency: USD}",
        "{gpu_hour: 2.5, gpus: 8}",
        "{gpus: 2}",
        "{}",
        "{input: 1, gpu_hour: 0}",
    ],
)
def test_prices_per_token_and_per_hour(write_recipe: Callable[[str], Path], price: str) -> None:
    load(write_recipe, price=price)


def test_a_local_model_knows_its_gpus(write_recipe: Callable[[str], Path]) -> None:
    load(write_recipe, backend="vllm", price="{gpu_hour: 2.5}")


@pytest.mark.parametrize(
    ("price", "reason"),
    [
        ("{input: -1}", "must be at least 0"),
        ("{input: .inf}", "out of range"),
        ("{output: .nan}", "out of range"),
        ("{output: cheap}", "number"),
        ("{gpu_hour: 2}", "engine 'a': `gpu_hour` needs `gpus`, the number of GPUs of the server"),
        ("{gpu_hour: 2, gpus: 0}", "must be at least 1"),
        ("{gpu_hour: 2, gpus: 1.5}", "must be a whole number"),
        ("{currency: 5}", "must be a text"),
        ("{currency: euros and some cents}", "must have 12 or fewer characters"),
        ("{in: 5}", "unknown key|not permitted|extra"),
        ("5", "mapping|dictionary|valid"),
    ],
)
def test_bad_prices_are_named(write_recipe: Callable[[str], Path], price: str, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason) as caught:
        load(write_recipe, price=price)
    assert "recipe.yaml:3" in str(caught.value)


def test_a_recipe_has_one_currency(write_recipe: Callable[[str], Path]) -> None:
    load(write_recipe, price="{input: 1, currency: EUR}", other="{output: 2, currency: EUR}")
    with pytest.raises(RecipeError, match="the currency is 'USD', but that of engine 'a' is 'EUR'"):
        load(write_recipe, price="{input: 1, currency: EUR}", other="{output: 2, currency: USD}")


def test_a_budget_of_money_needs_prices_of_tokens(write_recipe: Callable[[str], Path]) -> None:
    load(write_recipe, price="{output: 1}", budget="{money: 5}")
    for price in ("null", "{}", "{gpu_hour: 2, gpus: 1}"):
        with pytest.raises(RecipeError, match="`money` needs the price of an engine's tokens"):
            load(write_recipe, price=price, budget="{money: 5}")
