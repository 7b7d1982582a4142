"""Calls over several servers that pause, fail or die: retries, limits, circuits."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from aiohttp import web

from mminf.backend.endpoints import FAILURES
from mminf.errors import EngineError, RequestError

from .mock import CUT, LOST, always, answer, hang, make, request, serve, until


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


def test_calls_to_a_server_whose_engine_has_died_do_not_fail(quick: None) -> None:
    """`swift deploy` goes on listing its models, so that health checks pass, and answers 400."""
    died = {"message": "EngineCore encountered an issue. See stack trace (above) for the root cause."}

    async def run() -> None:
        async with serve() as one:
            backend = make(one.url, retries=1)
            await backend.generate(request())
            one.handler = lambda body, n: web.json_response(died, status=400)
            calls = [asyncio.create_task(backend.generate(request())) for _ in range(10)]
            await until(lambda: one.listed > 6)
            assert not any(call.done() for call in calls), "they wait"
            one.handler = lambda body, n: answer("restarted")
            async with asyncio.timeout(20):
                assert {item.text for item in await asyncio.gather(*calls)} == {"restarted"}
            await backend.close()
        async with serve() as one:
            backend = make(one.url, retries=1, patience=0.3)
            await backend.generate(request())
            one.handler = lambda body, n: web.json_response(died, status=400)
            found = await asyncio.gather(*(backend.generate(request()) for _ in range(10)), return_exceptions=True)
            assert {type(item) for item in found} == {EngineError}
            assert "no server has answered for 0.3 s" in str(found[0]) and "EngineCore" in str(found[0])
            assert "its engine has died: restart it, its log has the cause" in str(found[0])
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
