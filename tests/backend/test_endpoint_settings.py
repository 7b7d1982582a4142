"""Addresses of the openai backend's servers in recipes, their keys and limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mminf
from mminf.backend.address import EndpointConfig
from mminf.backend.openai import OpenAIConfig

from .mock import make, request, serve

ONE, TWO = "http://one/v1", "http://two/v1"


def test_addresses_are_bare_or_have_settings_of_their_own() -> None:
    def config(base_url: Any) -> OpenAIConfig:
        return OpenAIConfig(backend="openai", model="m", base_url=base_url)

    own = {"url": TWO, "max_concurrency": 3, "api_key_env": "KEY_TWO"}
    assert config(ONE).base_url == config([ONE]).base_url == config({"url": ONE}).base_url
    assert config([ONE, own]).base_url == [EndpointConfig(url=ONE), EndpointConfig(**own)]
    assert config([ONE, own]).model_dump(mode="json")["base_url"] == [ONE, own]
    assert config([{"url": ONE}]).model_dump(mode="json")["base_url"] == [ONE], "as bare as it was before"
    assert OpenAIConfig(backend="openai", model="m").base_url == config("http://127.0.0.1:8000/v1").base_url
    for wrong, message in (
        ([ONE, ONE + "/"], "duplicate address http://one/v1"),
        ([{"url": ONE, "max_concurency": 3}], "Extra inputs are not permitted"),
        ([{"url": "http://me:secret@one/v1"}], "an address must not contain a user or password"),
        ([{"url": ONE, "max_concurrency": 0}], "greater than or equal to 1"),
        ([], "at least 1 item"),
    ):
        with pytest.raises(ValueError, match=message):
            config(wrong)


def test_addresses_in_recipes_and_their_schema(write_recipe: Callable[[str], Path]) -> None:
    recipe = write_recipe(
        f"engines: {{e: {{backend: openai, model: m, base_url: [{ONE}, {{url: {TWO}, max_concurrency: 3}}]}}}}\n"
        'steps:\n  - generate: {engine: e, prompt: "{{ text }}"}\n'
    )
    urls = lambda settings: [item.url for item in mminf.load(recipe, settings=settings).engines["e"].base_url]  # noqa: E731
    assert urls([]) == [ONE, TWO]
    assert urls([f"engines.e.base_url={TWO}"]) == [TWO]
    assert urls([f"engines.e.base_url=[{{url: {TWO}}}, {ONE}]"]) == [TWO, ONE]
    with pytest.raises(
        mminf.errors.RecipeError, match="unknown key 'limit'; known: api_key_env, headers, max_concurrency, query, url"
    ):
        urls([f"engines.e.base_url=[{{url: {TWO}, limit: 3}}]"])
    kinds = OpenAIConfig.model_json_schema()["properties"]["base_url"]["anyOf"]
    own = {"$ref": "#/$defs/EndpointConfig"}
    assert kinds == [{"type": "string"}, own, {"type": "array", "items": {"anyOf": [{"type": "string"}, own]}}]


def test_where_calls_go_and_how_long_they_wait_is_no_part_of_a_memo_key() -> None:
    assert make(ONE).identity() == make({"url": TWO, "max_concurrency": 2}, patience=1).identity() == {"model": "m"}


def test_capacity_is_the_engines_limit_or_what_the_endpoints_hold() -> None:
    own = {"url": TWO, "max_concurrency": 3}
    assert make(ONE, own).capacity() == 128 + 3
    assert make(ONE, own, max_concurrency=7).capacity() == 7


def test_each_endpoint_gets_its_own_key_and_never_anothers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_KEY", "engine's")
    monkeypatch.setenv("KEY_TWO", "two's")
    monkeypatch.delenv("KEY_THREE", raising=False)

    async def run() -> None:
        async with serve() as one, serve() as two, serve() as three:
            own = ({"url": two.url, "api_key_env": "KEY_TWO"}, {"url": three.url, "api_key_env": "KEY_THREE"})
            backend = make(one.url, *own, api_key_env="ENGINE_KEY")
            await asyncio.gather(*(backend.generate(request()) for _ in range(3)))
            await backend.close()
        keys = ["Bearer engine's", "Bearer two's", None]
        assert [mock.calls[0][1].get("Authorization") for mock in (one, two, three)] == keys
        assert [mock.keys for mock in (one, two, three)] == [[key] for key in keys]

    asyncio.run(run())
