"""Several endpoints of the openai backend: choice, limits, circuits, pauses, and runs over servers that fail."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import sqlite3
import threading
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from time import time
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

import mminf
from mminf import api
from mminf.backend.address import EndpointConfig
from mminf.backend.endpoints import FAILURES, Endpoint, Endpoints, Lease, retry_after
from mminf.backend.openai import OpenAIConfig
from mminf.errors import EngineError, RequestError

from ..conftest import read_rows
from .mock import CUT, LOST, Handler, Mock, answer, make, request, serve

ONE, TWO = "http://one/v1", "http://two/v1"


async def until(condition: Callable[[], bool]) -> None:
    """Waits until something is so; a test that waits in vain is cut off."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def settle() -> None:
    """Lets everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


def always(status: int, **headers: str) -> Handler:
    return lambda body, n: web.Response(status=status, headers={key.replace("_", "-"): v for key, v in headers.items()})


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Health checks and back-off of milliseconds."""
    monkeypatch.setattr("mminf.backend.endpoints.FIRST_CHECK", 0.01)
    monkeypatch.setattr("mminf.backend.endpoints.LAST_CHECK", 0.02)
    monkeypatch.setattr("mminf.backend.client.backoff", lambda attempt: 0.001)


# Settings


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


# Choice, without a server


def pool(*limits: float, up: Callable[[Endpoint], bool] = lambda _: False, patience: float = 300) -> Endpoints:
    async def answers(endpoint: Endpoint) -> bool:
        return up(endpoint)

    made = [
        Endpoint(f"http://{number}/v1", chat=URL(), key_env="KEY", headers={}, limit=limit)
        for number, limit in enumerate(limits)
    ]
    return Endpoints(made, answers, patience)


def test_the_least_loaded_endpoint_gets_the_call() -> None:
    async def run() -> None:
        endpoints = pool(2, 6)
        small, large = endpoints
        for _ in range(4):
            await endpoints.take()
        assert (small.busy, large.busy) == (1, 3), "in proportion to their limits"
        endpoints = pool(math.inf, math.inf, math.inf)
        taken = []
        for _ in range(9):
            taken.append(lease := await endpoints.take())
            endpoints.give_back(lease)
        assert [lease.endpoint.url[7] for lease in taken] == list("012012012"), "equal loads go round"

    asyncio.run(run())


def test_an_endpoint_to_avoid_is_taken_only_if_no_other_is_free() -> None:
    async def run() -> None:
        endpoints = pool(2, 2)
        first, second = endpoints
        endpoints.take_now(second)
        assert [(await endpoints.take(avoid=first)).endpoint for _ in range(3)] == [second, first, first]
        assert not endpoints.has_other(first)

    asyncio.run(run())


def test_calls_wait_for_a_slot_and_the_first_come_is_served_first() -> None:
    async def run() -> None:
        endpoints = pool(1, 1)
        held = [await endpoints.take() for _ in range(2)]
        served: list[int] = []

        async def call(number: int) -> Lease:
            lease = await endpoints.take()
            served.append(number)
            return lease

        calls = [asyncio.create_task(call(number)) for number in range(4)]
        await settle()
        assert served == []
        calls[1].cancel()
        await settle()
        endpoints.give_back(held[0])
        endpoints.give_back(held[1])
        assert max(endpoint.busy for endpoint in endpoints) == 1
        await settle()
        assert served == [0, 2]
        endpoints.give_back(calls[0].result())
        calls[3].cancel()  # just as it gets its slot
        await settle()
        assert served == [0, 2]
        assert sum(endpoint.busy for endpoint in endpoints) == 1, "its slot is free again"

    asyncio.run(run())


def fail(endpoints: Endpoints, *leases: Lease) -> None:
    for lease in leases:
        endpoints.failed(lease, "went wrong")
        endpoints.give_back(lease)


def test_failures_in_a_row_open_a_circuit_and_a_success_between_them_does_not() -> None:
    async def run() -> None:
        endpoints = pool(math.inf)
        (endpoint,) = endpoints
        leases = [await endpoints.take() for _ in range(2 * FAILURES)]
        fail(endpoints, *leases[: FAILURES - 1])
        endpoints.succeeded(await endpoints.take())
        fail(endpoints, *leases[FAILURES - 1 : -2])
        assert endpoint.circuit == "closed"
        fail(endpoints, leases[-2])
        assert (endpoint.circuit, endpoint.is_free) == ("open", False)
        endpoints.succeeded(leases[-1])
        assert endpoint.circuit == "open", "what was sent before says nothing of how it is now"
        await endpoints.close()

    asyncio.run(run())


def test_an_open_circuit_is_checked_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real(0)

    async def run() -> None:
        endpoints = pool(math.inf, up=lambda _: len(slept) == 8)
        fail(endpoints, *[await endpoints.take() for _ in range(FAILURES)])
        monkeypatch.setattr(asyncio, "sleep", sleep)
        await endpoints.take()
        assert slept == [1, 2, 4, 8, 16, 30, 30, 30]

    asyncio.run(run())


def test_a_half_open_circuit_gets_one_call_on_trial(quick: None) -> None:
    async def run() -> None:
        endpoints = pool(math.inf, up=lambda _: True)
        (endpoint,) = endpoints
        straggler = await endpoints.take()
        fail(endpoints, *[await endpoints.take() for _ in range(FAILURES)])
        calls = [asyncio.create_task(endpoints.take()) for _ in range(3)]
        await until(lambda: calls[0].done())
        await settle()
        assert [call.done() for call in calls] == [True, False, False]
        fail(endpoints, straggler)
        assert endpoint.circuit == "half-open", "the trial is another call"
        fail(endpoints, calls[0].result())
        assert endpoint.circuit == "open", "one failure is enough"
        await until(lambda: calls[1].done())
        await settle()
        assert not calls[2].done()
        endpoints.give_back(calls[1].result())  # refused or cancelled: neither up nor down
        await settle()
        assert (endpoint.circuit, calls[2].done(), endpoint.is_free) == ("half-open", True, False)
        endpoints.succeeded(calls[2].result())
        assert (endpoint.circuit, endpoint.is_free) == ("closed", True)
        await endpoints.close()

    asyncio.run(run())


def test_a_server_that_fails_all_trials_is_told_of_once(quick: None, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        endpoints = pool(math.inf, up=lambda _: True)
        fail(endpoints, *[await endpoints.take() for _ in range(FAILURES)])
        for _ in range(3):
            fail(endpoints, await endpoints.take())
        assert caplog.messages == [
            "http://0/v1 gets no calls until a health check passes: 5 failures in a row, the last: went wrong"
        ]
        await endpoints.close()

    asyncio.run(run())


def test_patience_does_not_end_while_a_server_is_only_full() -> None:
    async def run() -> None:
        endpoints = pool(math.inf, 1, patience=0.01)
        first, _ = endpoints
        for _ in range(FAILURES):
            lease = endpoints.take_now(first)
            assert lease is not None
            fail(endpoints, lease)
        assert not first.is_free
        held = await endpoints.take()
        call = asyncio.create_task(endpoints.take())
        await asyncio.sleep(0.05)
        assert not call.done()
        endpoints.give_back(held)
        assert (await call).endpoint is held.endpoint
        await endpoints.close()

    asyncio.run(run())


def test_patience_does_not_end_while_a_server_is_on_trial(quick: None) -> None:
    async def run() -> None:
        up = [True]
        endpoints = pool(math.inf, up=lambda _: up[0], patience=0.3)
        fail(endpoints, *[await endpoints.take() for _ in range(FAILURES)])
        trial = await endpoints.take()
        call = asyncio.create_task(endpoints.take())
        await asyncio.sleep(0.4)
        assert not call.done()
        up[0] = False
        fail(endpoints, trial)
        with pytest.raises(EngineError, match="no server has answered for 0.3 s"):
            await call
        await endpoints.close()

    asyncio.run(run())


def test_a_slot_handed_over_as_its_circuit_opens_is_not_used() -> None:
    async def run() -> None:
        endpoints = pool(FAILURES)
        (endpoint,) = endpoints
        leases = [await endpoints.take() for _ in range(FAILURES)]
        call = asyncio.create_task(endpoints.take())
        await settle()
        fail(endpoints, *leases)
        await settle()
        assert (endpoint.busy, call.done()) == (0, False)
        call.cancel()
        await endpoints.close()

    asyncio.run(run())


def test_closing_ends_checks_and_waits() -> None:
    async def run() -> None:
        endpoints = pool(math.inf, patience=0.05)
        fail(endpoints, *[await endpoints.take() for _ in range(FAILURES)])
        call = asyncio.create_task(endpoints.take())
        await settle()
        await endpoints.close()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())


# Pauses


def test_what_retry_after_may_say() -> None:
    assert (retry_after("7"), retry_after("0.05"), retry_after("86400"), retry_after("inf")) == (7, 0.05, 300, 300)
    assert 50 < (retry_after(formatdate(time() + 60, usegmt=True)) or 0) <= 60
    assert retry_after(formatdate(time() + 86400, usegmt=True)) == 300
    past = formatdate(time() - 60, usegmt=True)
    assert {retry_after(value) for value in (None, "", "0", "-3", "nan", "soon", "Wed, 99 Foo", past)} == {None}


def test_a_pause_lasts_as_long_as_the_longest_wish() -> None:
    async def run() -> None:
        endpoints = pool(math.inf)
        (endpoint,) = endpoints
        leases = [await endpoints.take() for _ in range(3)]
        began = asyncio.get_running_loop().time()
        for lease, seconds in zip(leases, (0.02, 0.1, 0.01), strict=True):
            endpoints.refused(lease, seconds)
            endpoints.give_back(lease)
        assert not endpoint.is_free
        await endpoints.take()
        assert asyncio.get_running_loop().time() - began > 0.09

    asyncio.run(run())


def test_refusals_without_a_time_make_longer_and_longer_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[int] = []
    monkeypatch.setattr("mminf.backend.endpoints.backoff", lambda attempt: attempts.append(attempt) or 0.001)

    async def run() -> None:
        endpoints = pool(math.inf)
        for _ in range(3):
            burst = [await endpoints.take() for _ in range(4)]
            for lease in burst:
                endpoints.refused(lease, None)
                endpoints.give_back(lease)
        assert attempts == [0, 1, 2], "a burst counts once"
        lease = await endpoints.take()
        endpoints.succeeded(lease)
        endpoints.refused(lease, None)
        assert attempts == [0, 1, 2, 0]
        await endpoints.close()

    asyncio.run(run())


def test_a_server_that_asks_for_a_pause_gets_no_calls_and_others_do() -> None:
    async def run() -> None:
        async with (
            serve(always(429, Retry_After="60")) as resting,
            serve(always(503, Retry_After="60")) as too,
            serve() as up,
        ):
            backend = make(resting.url, too.url, up.url, retries=0)
            for _ in range(2 * FAILURES):
                assert (await backend.generate(request())).text == "x"
            assert (len(resting.calls), len(too.calls)) == (1, 1)
            await backend.close()

    asyncio.run(run())


@pytest.mark.parametrize("status", [429, 503])
def test_calls_wait_until_the_first_pause_ends_and_use_no_retries(status: int) -> None:
    def busy(body: dict[str, Any], n: int) -> web.Response:
        return web.Response(status=status, headers={"Retry-After": "0.01"}) if n <= 2 * FAILURES else answer("x")

    async def run() -> None:
        async with serve(busy) as soon, serve(always(status, Retry_After="200")) as late:
            backend = make(soon.url, late.url, retries=0)
            async with asyncio.timeout(20):
                assert (await backend.generate(request())).text == "x"
            assert (len(soon.calls), len(late.calls)) == (2 * FAILURES + 1, 1)
            assert soon.listed == 1, "no failure of the endpoint, so no health check"
            await backend.close()

    asyncio.run(run())


def test_a_call_that_meets_nothing_but_refusals_fails_in_the_end() -> None:
    async def run() -> None:
        async with serve(always(429, Retry_After="0.02")) as mock:
            backend = make(mock.url, timeout=0.2)
            with pytest.raises(RequestError, match=r"answered 429 \(retried for 0.2 s\)"):
                await backend.generate(request())
            assert len(mock.calls) > 2
            await backend.close()

    asyncio.run(run())


# Failures


async def hang(body: dict[str, Any], n: int) -> web.Response:
    await asyncio.sleep(60)
    return answer("too late")


WAYS = {
    "408": always(408),
    "409": always(409),
    "500": always(500),
    "504": always(504),
    "hang": hang,
    "cut": lambda body, n: CUT,
    "lost": lambda body, n: LOST,
    "garbage": lambda body, n: web.Response(text="<html>"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_failed_call_goes_on_at_once_to_another_endpoint(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_backoff(attempt: int) -> float:
        raise AssertionError("there is another endpoint")

    monkeypatch.setattr("mminf.backend.client.backoff", no_backoff)

    async def run() -> None:
        async with serve(WAYS[way]) as bad, serve() as good:
            backend = make(bad.url, good.url, timeout=1 if way == "hang" else 30, retries=1)
            assert (await backend.generate(request())).text == "x"
            assert (len(bad.calls), len(good.calls)) == (1, 1)
            assert bad.calls[0][0] == good.calls[0][0], "the same call"
            await backend.close()

    asyncio.run(run())


@pytest.mark.parametrize("way", WAYS)
def test_alone_an_endpoint_gets_the_call_again_after_backoff(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    monkeypatch.setattr("mminf.backend.client.backoff", lambda attempt: waited.append(attempt) or 0.001)

    async def run() -> None:
        async with serve(WAYS[way]) as mock:
            backend = make(mock.url, timeout=0.1 if way == "hang" else 30, retries=2)
            with pytest.raises(RequestError, match=rf"^{mock.url}.*\(sent 3 times\)$"):
                await backend.generate(request())
            assert (len(mock.calls), waited) == (3, [0, 1])
            await backend.close()

    asyncio.run(run())


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_what_another_try_would_not_change_fails_the_request_at_once(status: int) -> None:
    async def run() -> None:
        async with serve(always(status)) as one, serve(always(status)) as two:
            backend = make(one.url, two.url)
            for number in range(2 * FAILURES):
                with pytest.raises(RequestError, match=f"answered {status}"):
                    await backend.generate(request())
                assert len(one.calls) + len(two.calls) == number + 1
            await backend.close()
            assert (one.listed, two.listed) == (1, 1), "no failure of the endpoint"

    asyncio.run(run())


def test_an_endpoint_has_no_more_calls_in_flight_than_its_limit() -> None:
    async def run() -> None:
        full = asyncio.Event()

        async def slow(body: dict[str, Any], n: int) -> web.StreamResponse:
            if one.busy + two.busy == 2 + 5:
                full.set()
            await full.wait()
            await asyncio.sleep(0.002)
            return answer("x") if n % 3 else web.Response(status=500)

        async with serve(slow) as one, serve(slow) as two:
            backend = make({"url": one.url, "max_concurrency": 2}, {"url": two.url, "max_concurrency": 5}, retries=50)
            async with asyncio.timeout(20):
                await asyncio.gather(*(backend.generate(request()) for _ in range(40)))
            assert (one.peak, two.peak) == (2, 5)
            await backend.close()

    asyncio.run(run())


# Circuits, with servers


def test_one_dead_server_of_two_goes_unnoticed_but_for_the_log(quick: None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mminf")

    async def run() -> None:
        async with serve() as dying, serve() as good:
            backend = make(dying.url, good.url)
            await backend.generate(request())
            dying.handler, dying.listing = (lambda body, n: LOST), 0
            before = len(dying.calls)
            found = await asyncio.gather(*(backend.generate(request()) for _ in range(3)))
            while dying.listed < 4:  # not up yet
                found.append(await backend.generate(request()))
            assert {item.text for item in found} == {"x"}
            assert len(dying.calls) - before == FAILURES
            warnings = [item.getMessage() for item in caplog.records if item.levelno == logging.WARNING]
            assert len(warnings) == 1
            assert f"{dying.url} gets no calls" in warnings[0]
            assert "ServerDisconnectedError" in warnings[0]

            dying.handler, dying.listing = (lambda body, n: answer("back")), 200
            async with asyncio.timeout(20):
                while (await backend.generate(request())).text != "back":
                    pass
            assert caplog.messages[-1] == f"{dying.url} answers again"
            await backend.generate(request())
            await backend.generate(request())
            assert len(caplog.messages) == 2
            await backend.close()

    asyncio.run(run())


def test_a_server_is_checked_with_its_key_and_as_it_listed_its_models_before(
    quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")

    async def run() -> None:
        async with serve() as mock:
            mock.listing = 404  # some hosted APIs list none
            backend = make(mock.url)
            await backend.generate(request())
            mock.handler = lambda body, n: answer("back") if n > 1 + FAILURES else LOST
            async with asyncio.timeout(20):
                assert (await backend.generate(request())).text == "back"
            assert mock.keys == ["Bearer k"] * 2
            await backend.close()

    asyncio.run(run())


def test_calls_wait_while_no_server_answers(quick: None) -> None:
    async def run() -> None:
        async with serve(owner="x") as one, serve(owner="x") as two:
            backend = make(one.url, two.url, retries=2 * FAILURES)
            await backend.generate(request())
            for mock in (one, two):
                mock.handler, mock.listing = (lambda body, n: LOST), 0
            calls = [asyncio.create_task(backend.generate(request())) for _ in range(30)]
            await until(lambda: min(one.listed, two.listed) > 3)
            assert not any(call.done() for call in calls)
            two.handler, two.listing = (lambda body, n: answer("back")), 200
            async with asyncio.timeout(20):
                assert {item.text for item in await asyncio.gather(*calls)} == {"back"}
            await backend.close()
            assert not [task for task in asyncio.all_tasks() if "_watch" in str(task)], "no health check is left"

    asyncio.run(run())


def test_when_patience_is_over_the_run_stops(quick: None) -> None:
    async def run() -> None:
        async with serve() as one, serve() as two:
            backend = make(one.url, two.url, patience=0.1)
            await backend.generate(request())
            for mock in (one, two):
                mock.handler, mock.listing = always(502), 502
            found = await asyncio.gather(*(backend.generate(request()) for _ in range(30)), return_exceptions=True)
            assert {type(item) for item in found} == {EngineError}
            for said in (
                one.url,
                two.url,
                "no server has answered for 0.1 s",
                "answered 502",
                "same command to resume",
            ):
                assert said in str(found[0])
            with pytest.raises(EngineError, match="no server has answered"):
                await backend.generate(request())
            await backend.close()
            for mock in (one, two):
                mock.handler, mock.listing = (lambda body, n: answer("back")), 200
            assert (await backend.generate(request())).text == "back", "loaded again, it knows nothing of the past"
            await backend.close()

    asyncio.run(run())


def test_a_server_that_lists_models_and_answers_no_call_stops_the_run(quick: None) -> None:
    """As one does whose engine is dead, while its HTTP side lives."""

    async def run() -> None:
        async with serve() as one:
            backend = make(one.url, patience=0.3, retries=10**6)
            await backend.generate(request())
            one.handler = always(500)
            found = await asyncio.gather(*(backend.generate(request()) for _ in range(10)), return_exceptions=True)
            assert {type(item) for item in found} == {EngineError}
            assert "no server has answered for 0.3 s" in str(found[0])
            await backend.close()

    asyncio.run(run())


def test_pauses_that_a_server_asks_for_do_not_count_as_failure() -> None:
    def busy(body: dict[str, Any], number: int) -> web.Response:
        return answer("at last") if number > 4 else web.Response(status=429, headers={"Retry-After": "0.3"})

    async def run() -> None:
        async with serve() as one:
            one.handler = busy
            backend = make(one.url, timeout=0.5)
            assert (await backend.generate(request())).text == "at last"
            await backend.close()

    asyncio.run(run())


# The start


def test_all_that_is_wrong_with_servers_is_said_at_once() -> None:
    async def run() -> None:
        async with serve() as good, serve(models=("other",)) as wrong, serve() as closed, serve() as dead:
            closed.listing, dead.listing = 401, 0
            refusing = {"url": closed.url, "api_key_env": "KEY_OF_IT"}
            backend = make(good.url, wrong.url, refusing, dead.url)
            with pytest.raises(EngineError) as caught:
                await backend.generate(request())
            lines = str(caught.value).splitlines()
            assert lines[0] == f"{wrong.url} does not serve 'm'; it serves other"
            assert (
                lines[1] == f"{closed.url} rejects the key (401); set the environment variable KEY_OF_IT to a valid key"
            )
            assert lines[2].startswith(f"model 'm': no server answers at {dead.url} (ServerDisconnectedError")
            assert len(lines) == 3
            assert not good.calls

    asyncio.run(run())


def test_servers_are_asked_at_the_same_time() -> None:
    async def run() -> None:
        together = asyncio.Barrier(2)
        async with serve() as one, serve() as two:
            for mock in (one, two):
                listing = mock.list_models

                async def list_models(request: web.Request, listing: Any = listing) -> web.StreamResponse:
                    await together.wait()
                    return await listing(request)

                mock.list_models = list_models  # type: ignore[method-assign]
            backend = make(one.url, two.url)
            async with asyncio.timeout(20):
                await backend.generate(request())
            await backend.close()

    asyncio.run(run())


def test_a_server_that_was_away_is_probed_for_the_open_turn_before_it_gets_open_prompts(quick: None) -> None:
    def full(body: dict[str, Any], n: int) -> web.Response:
        return answer("full", prompt_tokens=20)

    def honours(body: dict[str, Any], n: int) -> web.Response:
        return answer("open", prompt_tokens=20 - 5 * bool(body.get("continue_final_message")))

    async def run() -> None:
        async with serve(honours) as good, serve(lambda body, n: LOST) as away:
            backend = make(good.url, away.url)
            found = [await backend.generate(request(open_turn="user")) for _ in range(2 * FAILURES)]
            assert {item.text for item in found} == {"open"}
            away.handler = full
            with pytest.raises(EngineError, match=f"{away.url} does not leave the user's turn open"):
                async with asyncio.timeout(20):
                    while True:
                        assert (await backend.generate(request(open_turn="user"))).text == "open"
            await backend.close()

    asyncio.run(run())


# Whole runs


@contextlib.contextmanager
def running(*handlers: Handler) -> Iterator[list[Mock]]:
    """Serves in a thread of its own, since a run has its own loop."""
    mocks: list[Mock] = []
    started = threading.Event()
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    async def keep() -> None:
        async with contextlib.AsyncExitStack() as stack:
            mocks.extend([await stack.enter_async_context(serve(handler)) for handler in handlers])
            started.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=[keep()])
    thread.start()
    started.wait(20)
    try:
        yield mocks
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(20)
        loop.close()


def say(body: dict[str, Any], n: int) -> web.Response:
    return answer(f"({body['messages'][-1]['content']})")


async def troubled(body: dict[str, Any], n: int) -> web.StreamResponse | str:
    """One call of five fails, each time in another way."""
    way = n // 5 % 4 if n % 5 == 0 else None
    if way == 0:
        return web.Response(status=429, headers={"Retry-After": "0.05"})
    if way == 1:
        return web.Response(status=500)
    if way == 2:
        return await hang(body, n)
    return CUT if way == 3 else say(body, n)


STEPS = """
source: {jsonl: rows.jsonl}
steps:
  - generate: {name: a, engine: e, prompt: "A {{ text }}", writes: a}
  - generate: {name: b, engine: e, prompt: "B {{ a }}", writes: b}
  - generate: {name: c, engine: e, prompt: "C {{ text }}", writes: c}
  - generate: {name: d, engine: e, prompt: "D {{ b }} {{ c }}", writes: d}
sinks: [{jsonl: out.jsonl}]
"""


def recipe_for(mocks: list[Mock], **settings: Any) -> str:
    own = "".join(f", {key}: {value}" for key, value in settings.items())
    return (
        f"engines: {{e: {{backend: openai, model: m, base_url: [{', '.join(mock.url for mock in mocks)}]{own}}}}}"
        + STEPS
    )


def memo_rows(output: Path) -> tuple[int, int]:
    """Returns how many answers the journal holds, and to how many prompts."""
    with contextlib.closing(sqlite3.connect(output / "journal.sqlite")) as journal:
        rows: tuple[int, int] = journal.execute("SELECT count(*), count(DISTINCT text) FROM memo").fetchone()
        return rows


def test_a_run_over_servers_that_fail_is_as_one_over_healthy_ones(
    write_recipe: Callable[..., Path], rows: Callable[..., Path], tmp_path: Path
) -> None:
    rows(*({"id": str(n), "text": f"row {n}"} for n in range(40)))
    with running(say) as mocks:
        recipe = write_recipe(recipe_for(mocks), "healthy.yaml")
        healthy = mminf.run(recipe, output=tmp_path / "healthy")
        assert len(mocks[0].calls) == 160
    with running(troubled, troubled) as mocks:
        recipe = write_recipe(recipe_for(mocks, timeout=0.5), "troubled.yaml")
        result = mminf.run(recipe, output=tmp_path / "troubled")
        assert min(len(mock.calls) for mock in mocks) > 40, "both have met every trouble"
        assert sum(len(mock.calls) for mock in mocks) >= 160 + 2 * (40 // 5)
    assert result.counts == healthy.counts
    assert (result.counts.done, result.counts.failed, result.counts.pending) == (40, 0, 0)
    assert memo_rows(tmp_path / "troubled") == memo_rows(tmp_path / "healthy") == (160, 160)
    assert result.calls == healthy.calls == 160
    found = [(tmp_path / name / "out.jsonl").read_bytes() for name in ("healthy", "troubled")]
    assert found[0] == found[1]


def test_a_run_whose_server_dies_stops_and_goes_on_where_it_was(
    write_recipe: Callable[..., Path], rows: Callable[..., Path], tmp_path: Path, quick: None
) -> None:
    rows(*({"id": str(n), "text": f"row {n}"} for n in range(40)))
    asked: list[str] = []

    def dies(body: dict[str, Any], n: int) -> web.StreamResponse | str:
        if n > 50:
            mocks[0].listing = 0
            return LOST
        asked.append(body["messages"][-1]["content"])
        return say(body, n)

    def again(body: dict[str, Any], n: int) -> web.StreamResponse:
        asked.append(body["messages"][-1]["content"])
        return say(body, n)

    with running(dies) as mocks, running(again) as others:
        recipe = write_recipe(recipe_for(mocks, patience=0.2))
        with pytest.raises(EngineError, match=f"no server has answered for 0.2 s: {mocks[0].url}"):
            mminf.run(recipe, output=tmp_path / "out")
        assert api.status(tmp_path / "out")["state"] == "failed"
        assert api.status(tmp_path / "out")["failures"] == []
        assert memo_rows(tmp_path / "out") == (50, 50)
        mocks[0].listing, mocks[0].handler = 200, again
        result = mminf.run(recipe, output=tmp_path / "out", settings=[f"engines.e.base_url={others[0].url}"])
    assert (result.counts.done, result.counts.failed, result.calls) == (40, 0, 160)
    assert len(asked) == len(set(asked)) == 160, "nothing is asked twice"
    assert len(read_rows(tmp_path / "out" / "out.jsonl")) == 40
