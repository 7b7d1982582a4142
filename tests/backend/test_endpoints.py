"""The endpoints of the openai backend: choice, limits, circuits and pauses."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from email.utils import formatdate
from time import time

import pytest
from yarl import URL

from mminf.backend.endpoints import FAILURES, REFUSES, Endpoint, Endpoints, Lease
from mminf.backend.waits import retry_after
from mminf.errors import EngineError

from .mock import always, make, request, serve, settle, until

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
            "http://0/v1 gets no calls until a health check passes: 5 failures in a row, the last: went wrong",
            "no server answers; the run stops if none does for 300 s (`patience`)",
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


def test_a_server_that_refuses_everything_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        endpoints, times = pool(math.inf), [0.0]
        (endpoint,) = endpoints
        loop = asyncio.get_running_loop()
        loop.time = lambda: times[-1]  # type: ignore[method-assign]

        def refuse(*seconds: float) -> None:
            for second in seconds:
                times.append(second)
                endpoints.refused(Lease(endpoint, 0), 5.0, "says 429")

        refuse(0, REFUSES - 1, REFUSES + 1, REFUSES + 2, 2 * REFUSES + 1)
        endpoints.succeeded(Lease(endpoint, 0))
        refuse(1000, 1001, 2000, 2001)  # no call was sent for a while
        await endpoints.close()

    asyncio.run(run())
    told = [record.getMessage().split(" has ", 1)[1] for record in caplog.records]
    assert told == [
        f"answered no call for {seconds} s, and refuses new ones: the server says 429" for seconds in (21, 41)
    ]


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
