"""Addresses of servers: what a recipe may say, what is sent along, what is kept secret."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import mminf
from mminf.backend.address import EndpointConfig, fill_in, find_proxy, key_headers
from mminf.backend.openai import OpenAIConfig
from mminf.errors import EngineError, RecipeError
from mminf.redact import hide_secrets

from .mock import make

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "http://me:hunter2@host/v1"},
        {"base_url": "http://hunter2@host/v1"},
        {"base_url": "http://host/v1?api_key=hunter2"},
        {"base_url": {"url": "http://host/v1", "query": {"token": "hunter2"}}},
        {"base_url": "http://host:hunter2/v1"},
        {"base_url": "http://host\\hunter2/v1"},
        {"api_key_env": "sk-hunter2"},
        {"api_key_env": ["hunter2"]},
        {"headers": {"X-Goog": "Bearer hunter2"}},
        {"base_url": "http://host/v1?code=hunter2"},
        {"api_key_env": "sk_live_hunter2abcdef0123"},
        {"api_key_env": "0123456789abcdefhunter2"},
        {"api_key_env": "hf_hunter2abcdefABCDEF"},
        {"headers": {"Authorization": "Bearer hunter2"}},
        {"headers": {"api-key": "hunter2"}},
        {"headers": {"X-Api-Key": "hunter2"}},
        {"headers": {"X-Custom-Token": "hunter2"}},
        {"headers": {"X-A": "${hunter2 }"}},
        {"headers": {"X-A\nB": "hunter2"}},
        {"headers": {"X-A": "hunter2\r\nX-B: 1"}},
        {"headers": {"Content-Length": "hunter2"}},
        {"headers": "hunter2"},
        {"query": {"sig": "hunter2"}},
        {"extra_body": {"messages": "hunter2"}},
        {"extra_body": {"stream": "hunter2"}},
        {"extra_body": {"api_key": "hunter2"}},
        {"extra_body": {"provider": [{"token": "hunter2"}]}},
        {"extra_body": {"a": [{"b": "${hunter2-}"}]}},
    ],
)
def test_what_an_engine_may_not_say_is_refused_without_being_repeated(
    wrong: dict[str, Any], write_recipe: Callable[[str], Path]
) -> None:
    import yaml

    with pytest.raises(ValidationError) as python:
        OpenAIConfig(backend="openai", model="m", **wrong)
    assert "hunter2" not in str(python.value)
    engine = yaml.safe_dump({"backend": "openai", "model": "m", **wrong}, default_flow_style=True)
    recipe = write_recipe(f"engines: {{e: {engine}}}\nsteps:\n  - generate: {{engine: e, prompt: hi}}\n")
    with pytest.raises(RecipeError) as told:
        mminf.load(recipe)
    assert "hunter2" not in str(told.value)


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "KEY_2", "MY_SERVERS_KEY_2024", "key", "HF_TOKEN", "K", "_X"])
def test_names_of_variables_are_taken(name: str) -> None:
    assert OpenAIConfig(backend="openai", model="m", api_key_env=name).api_key_env == name


def test_values_come_from_the_environment_and_stay_out_of_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_SECRET", "open sesame")
    config = OpenAIConfig(backend="openai", model="m", headers={"X-Team": "team ${TEAM_SECRET}"})
    assert "sesame" not in config.model_dump_json()
    assert fill_in(config.headers, "headers") == {"X-Team": "team open sesame"}
    assert fill_in({"a": [{"b": "${TEAM_SECRET}!"}, 5, None]}, "extra_body") == {"a": [{"b": "open sesame!"}, 5, None]}
    assert hide_secrets("you said 'open sesame'") == "you said '***'"
    monkeypatch.delenv("TEAM_SECRET")
    with pytest.raises(EngineError, match=r"`headers.X-Team` needs the environment variable TEAM_SECRET"):
        fill_in(config.headers, "headers")
    monkeypatch.setenv("TEAM_SECRET", "a\r\nX-Evil: 1")
    with pytest.raises(EngineError, match="line break"):
        fill_in(config.headers, "headers")


def test_the_key_goes_where_the_kind_of_server_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", " the-key-of-it \n")
    assert key_headers("http://host/v1", "A_KEY") == {"Authorization": "Bearer the-key-of-it"}
    for url in ("https://me.openai.azure.com/openai/v1", "http://proxy/openai/deployments/gpt"):
        assert key_headers(url, "A_KEY") == {"api-key": "the-key-of-it"}
    assert key_headers("https://azure.com.evil.example/v1", "A_KEY") == {"Authorization": "Bearer the-key-of-it"}
    monkeypatch.setenv("A_KEY", "ключ-от-сервера")
    with pytest.raises(EngineError, match="A_KEY contains characters that are not allowed"):
        key_headers("http://host/v1", "A_KEY")
    monkeypatch.delenv("A_KEY")
    assert key_headers("http://host/v1", "A_KEY") == {}


def test_an_address_may_have_a_query(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://me.openai.azure.com/openai/deployments/gpt?api-version=2024-10-21"
    endpoint = EndpointConfig(url=url, query={"extra": "1"})
    assert endpoint.base == "https://me.openai.azure.com/openai/deployments/gpt"
    assert endpoint.own_query == {"api-version": "2024-10-21", "extra": "1"}
    assert OpenAIConfig(backend="openai", model="m", base_url=url).model_dump(mode="json")["base_url"] == [url]


def test_only_what_changes_answers_is_part_of_a_memo_key() -> None:
    plain = make("http://host/v1").identity()
    assert make("http://host/v1", headers={"X-Title": "mine"}, query={"v": "2"}).identity() == plain
    assert make("http://host/v1", extra_body={"reasoning_effort": "low"}).identity() != plain


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
    [
        ({}, "http://api.example/v1", None),
        ({"http_proxy": "http://proxy:1"}, "http://api.example/v1", "http://proxy:1"),
        ({"http_proxy": "http://proxy:1"}, "https://api.example/v1", None),
        ({"https_proxy": "proxy:1"}, "https://api.example/v1", "http://proxy:1"),
        ({"all_proxy": "http://proxy:1"}, "https://api.example/v1", "http://proxy:1"),
        ({"http_proxy": "http://proxy:1", "no_proxy": "api.example"}, "http://api.example/v1", None),
        ({"http_proxy": "http://proxy:1", "no_proxy": ".example"}, "http://api.example:80/v1", None),
        ({"http_proxy": "http://proxy:1"}, "http://localhost:8000/v1", None),
        ({"http_proxy": "http://proxy:1"}, "http://127.0.0.1:8000/v1", None),
        ({"http_proxy": "http://proxy:1"}, "http://[::1]:8000/v1", None),
        (
            {"http_proxy": "http://me:hunter2hunter2@proxy:1"},
            "http://api.example/v1",
            "http://me:hunter2hunter2@proxy:1",
        ),
    ],
)
def test_proxies_come_from_the_environment(
    environment: dict[str, str], url: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert find_proxy(url) == expected
    if expected is not None and "hunter2" in expected:
        assert "hunter2" not in hide_secrets(f"ClientProxyConnectionError: {expected}")


def test_a_proxy_of_another_kind_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://me:hunter2@proxy:1080")
    with pytest.raises(EngineError, match=r"not http:// or https://; set another one in HTTP_PROXY") as told:
        find_proxy("http://api.example/v1")
    assert "hunter2" not in str(told.value)
