"""The HTTP client against servers of our own: what is adapted, what stops a run, what is never followed or shown."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from mminf.errors import EngineError, RequestError
from mminf.request import Generation

from .mock import Handler, answer, make, request, serve, server


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mminf.backend.client.backoff", lambda attempt: 0.001)


def ask(handler: Handler, *questions: str, owner: str = "someone", **settings: Any) -> tuple[list[Any], list[Any]]:
    """Returns what came of each question, asked one after the other, and the calls that the server got."""
    sampling = settings.pop("sampling", {})

    async def run() -> tuple[list[Any], list[Any]]:
        async with server(handler, owner=owner) as (url, calls):
            backend = make(url, **settings)
            found: list[Any] = []
            for question in questions or ("hi",):
                try:
                    found.append(await backend.generate(request(question, **sampling)))
                except (EngineError, RequestError) as error:
                    found.append(error)
            await backend.close()
            return found, calls

    return asyncio.run(run())


def error(status: int, message: str, **more: Any) -> web.Response:
    return web.json_response({"error": {"message": message, **more}}, status=status)


def test_a_renamed_parameter_is_found_out_once(caplog: pytest.LogCaptureFixture) -> None:
    def o3(body: dict[str, Any], n: int) -> web.Response:
        if "max_tokens" in body:
            return error(
                400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", param="max_tokens"
            )
        return answer(str(body["max_completion_tokens"]))  # fmt: skip

    with caplog.at_level(logging.WARNING, logger="mminf"):
        found, calls = ask(o3, "a", "b", "c", sampling={"max_tokens": 77})
    assert [item.text for item in found] == ["77"] * 3
    assert len(calls) == 4, "one call more than questions"
    assert (
        len([line for line in caplog.messages if "rejects max_tokens, which is sent as max_completion_tokens" in line])
        == 1
    )


def test_what_a_strict_server_does_not_know_is_left_out_where_it_has_no_effect() -> None:
    known = {"model", "messages", "max_tokens", "temperature", "top_p", "logprobs"}

    def strict(body: dict[str, Any], n: int) -> web.Response:
        bad = [name for name in body if name not in known]
        return error(400, f"Unrecognized request argument supplied: {bad[0]}") if bad else answer("A red ball.")

    found, calls = ask(strict, owner="vllm", sampling={"temperature": 0.5, "choices": ["a"]})
    assert found[0].text == "A red ball."
    assert set(calls[-1][0]) <= known
    found, _ = ask(strict, owner="vllm", sampling={"temperature": 0.5, "top_k": 20})
    assert isinstance(found[0], EngineError)
    assert "does not accept top_k=20" in str(found[0])
    assert "change `sampling.top_k`" in str(found[0])


def test_a_temperature_that_is_refused_stops_the_run_or_is_taken_out_by_the_user() -> None:
    def o3(body: dict[str, Any], n: int) -> web.Response:
        if body.get("temperature", 1) != 1:
            return error(400, "Unsupported value: 'temperature' does not support 0.0", param="temperature")
        return answer("ok")

    (found,), calls = ask(o3)
    assert isinstance(found, EngineError)
    assert len(calls) == 1
    assert "`sampling.temperature`" in str(found)
    assert "extra_body: {temperature: null}" in str(found)
    (found,), calls = ask(o3, extra_body={"temperature": None, "reasoning_effort": "low"})
    assert found.text == "ok"
    assert calls[0][0]["reasoning_effort"] == "low"


def test_what_was_left_out_without_effect_is_sent_once_it_has_one() -> None:
    def picky(body: dict[str, Any], n: int) -> web.Response:
        return error(400, "unknown parameter temperature") if body.get("temperature") == 1 else answer("ok")

    async def run() -> list[Any]:
        async with server(picky, owner="x") as (url, calls):
            backend = make(url)
            await backend.generate(request(temperature=1))
            await backend.generate(request(temperature=0.5))
            await backend.close()
            return [body.get("temperature") for body, _ in calls]

    assert asyncio.run(run()) == [1, None, 0.5]


@pytest.mark.parametrize(
    "odd",
    [
        lambda: web.json_response({"id": "x", "error": {"message": "Upstream overloaded", "code": 502}}),
        lambda: web.json_response({"error": {"message": "Rate limited upstream", "code": 429}}),
        lambda: web.json_response(
            {"choices": [{"finish_reason": "error", "error": {"code": 502}, "message": {"content": "A re"}}]}
        ),
        lambda: web.json_response({"choices": []}),
        lambda: web.json_response(None),
        lambda: web.Response(text="<html>login</html>", content_type="text/html"),
        lambda: web.Response(text='{"choices": [{"message": {"content": "A re'),
        lambda: web.Response(body=b"[" * 300_000),
        lambda: web.Response(body=b"x" * 5000, headers={"Content-Encoding": "gzip"}),
        lambda: web.Response(body=gzip.compress(b" " * 2_000_000), headers={"Content-Encoding": "gzip"}),
    ],
)
def test_a_broken_answer_is_asked_for_again_and_is_never_a_row(
    odd: Callable[[], web.Response], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMINF_ANSWER_BYTES", "1000000")
    (found,), calls = ask(lambda body, n: odd() if n <= 2 else answer("A red ball."))
    assert isinstance(found, Generation)
    assert (found.text, len(calls)) == ("A red ball.", 3)
    (found,), _ = ask(lambda body, n: odd(), retries=1, timeout=0.5)
    assert isinstance(found, RequestError)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (lambda: error(401, "Incorrect API key"), "Incorrect API key; set the environment variable OPENAI_API_KEY to "),
        (lambda: error(402, "Insufficient credits"), "Insufficient credits; this key has no credit"),
        (lambda: error(404, "Not Found"), "Not Found; correct the engine's `base_url`"),
        (lambda: error(429, "quota", code="insufficient_quota"), "no credit or quota left"),
        (lambda: error(404, "The model `m` does not exist"), "it lists 'm' but does not serve it"),
        (lambda: web.Response(status=302, headers={"Location": "/login"}), "redirects to /login"),
        (lambda: web.json_response({"error": {"message": "no credit", "code": 402}}), "no credit or quota left"),
    ],
)  # fmt: skip
def test_what_every_call_will_meet_stops_the_run(reply: Callable[[], web.Response], message: str) -> None:
    found, calls = ask(lambda body, n: reply(), "a", "b", "c")
    assert len(calls) == 3
    assert [type(item) for item in found] == [RequestError, RequestError, EngineError]
    assert re.search(message, str(found[-1])), str(found[-1])
    assert (
        "3 calls in a row failed like this, so the run stops; progress is saved, run the same command to resume"
        in str(found[-1])
    )
    found, _ = ask(lambda body, n: answer("ok") if n % 3 == 0 else reply(), *"abcdefghi")
    assert not any(isinstance(item, EngineError) for item in found), "an answer between them"


def test_an_address_that_refuses_every_call_is_left_for_others() -> None:
    async def run() -> None:
        async with (
            serve(lambda body, n: error(401, "bad key")) as bad,
            serve(lambda body, n: answer("ok")) as good,
        ):
            backend = make(bad.url, good.url)
            found = [await backend.generate(request(str(n))) for n in range(30)]
            await backend.close()
            assert [item.text for item in found] == ["ok"] * 30
            assert len(bad.calls) <= 6

    asyncio.run(run())


def test_one_bad_address_does_not_stop_a_run_whose_other_is_slow() -> None:
    async def slow(body: dict[str, Any], n: int) -> web.Response:
        await asyncio.sleep(0.3)
        return answer("ok")

    async def run() -> None:
        async with serve(lambda body, n: error(402, "no credit")) as bad, serve(slow) as good:
            backend = make(bad.url, good.url)
            found = await asyncio.gather(*(backend.generate(request(str(n))) for n in range(40)))
            await backend.close()
            assert [item.text for item in found] == ["ok"] * 40

    asyncio.run(run())


def test_all_addresses_that_refuse_every_call_stop_the_run() -> None:
    async def run() -> None:
        async with serve(lambda b, n: error(402, "no credit")) as one, serve(lambda b, n: error(401, "no")) as two:
            backend = make(one.url, two.url)
            found = await asyncio.gather(
                *(backend.generate(request(str(n))) for n in range(20)), return_exceptions=True
            )
            await backend.close()
            assert any(isinstance(item, EngineError) and "so the run stops" in str(item) for item in found)
            assert len(one.calls) + len(two.calls) < 60

    asyncio.run(run())


def test_a_server_that_is_full_for_good_stops_the_run_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    def full(body: dict[str, Any], n: int) -> web.Response:
        return web.json_response(
            {"error": {"message": "daily limit reached"}}, status=429, headers={"Retry-After": "0.02"}
        )

    found, _ = ask(full, *"abc", timeout=0.1)
    assert [type(item) for item in found] == [RequestError, RequestError, EngineError]
    assert "daily limit reached" in str(found[-1])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_calls_do_not_follow_redirects(status: int) -> None:
    async def run() -> None:
        async with serve() as other:

            def redirect(body: dict[str, Any], n: int) -> web.Response:
                return web.Response(status=status, headers={"Location": f"{other.url}/chat/completions"})

            async with serve(redirect) as one:
                backend = make(one.url)
                with pytest.raises(RequestError, match=f"redirects to {other.url}"):
                    await backend.generate(request("secret prompt"))
                await backend.close()
            assert (other.calls, other.listed) == ([], 0)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("body", "fine"),
    [
        (b"[" * 200_000, True),
        (b"<html>", True),
        (b"[1, 2]", True),
        (b'{"data": "abc"}', True),
        (b'{"data": 5}', True),
        (b'{"data": [{"id": null}, 5, {"id": 7}]}', False),
        (b'[{"id": "m"}]', True),
        (b"\xff\xfe\x00", True),
        (b" " * 3000 + b"{}", True),
    ],
)
def test_an_odd_list_of_models_fails_no_record(body: bytes, fine: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMINF_LISTING_BYTES", "2000")

    async def run() -> Any:
        async with serve() as mock:

            async def listing(request: web.Request) -> web.Response:
                return web.Response(body=body, content_type="application/json")

            mock.list_models = listing  # type: ignore[method-assign]
            app = web.Application()
            app.router.add_get("/v1/models", listing)
            app.router.add_post("/v1/chat/completions", mock.chat)
            runner = web.AppRunner(app)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            backend = make(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
            try:
                return await backend.generate(request())
            except EngineError as problem:
                return problem
            finally:
                await backend.close()
                await runner.cleanup()

    found = asyncio.run(run())
    assert isinstance(found, Generation) == fine, found


def test_headers_and_query_go_along_and_keys_never_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_KEY", "team-key-0123456789")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hunter2hunter2")
    seen: dict[str, Any] = {}

    async def chat(call: web.Request) -> web.Response:
        seen.update(headers=dict(call.headers), query=dict(call.query), body=await call.json())
        said = f"{call.headers['Authorization']} {call.headers['X-Team']}"
        if seen["body"]["messages"][0]["content"] == "fail":
            return web.Response(status=400, text=f"bad header {json.dumps(said)}")
        return answer(f"you sent {said}")

    async def run() -> None:
        app = web.Application()
        app.router.add_post("/openai/chat/completions", chat)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        backend = make(
            f"http://127.0.0.1:{runner.addresses[0][1]}/openai?api-version=1",
            headers={"X-Team": "${TEAM_KEY}", "X-Title": "mine"},
            query={"region": "eu"},
            extra_body={"user": "${TEAM_KEY}"},
        )
        found = await backend.generate(request())
        assert found.text == "you sent Bearer *** ***"
        with pytest.raises(RequestError) as told:
            await backend.generate(request("fail"))
        assert "hunter2" not in str(told.value)
        assert "0123456789" not in str(told.value)
        await backend.close()
        await runner.cleanup()

    asyncio.run(run())
    assert seen["query"] == {"api-version": "1", "region": "eu"}
    assert (seen["headers"]["X-Team"], seen["headers"]["X-Title"]) == ("team-key-0123456789", "mine")
    assert seen["body"]["user"] == "team-key-0123456789"


def test_calls_go_through_the_environments_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with serve() as mock:
            monkeypatch.setenv("http_proxy", mock.url.removesuffix("/v1"))
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            backend = make("http://api.example.test/v1")
            assert (await backend.generate(request())).text == "x"
            await backend.close()
            assert mock.calls[0][1]["Host"] == "api.example.test"

    asyncio.run(run())
