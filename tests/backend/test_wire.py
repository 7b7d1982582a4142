"""Bodies: limits, packing, JSON."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from typing import Any

import pytest
from aiohttp import ClientSession, web
from hypothesis import example, given
from hypothesis import strategies as st

from mminf.backend.chat_answer import NoAnswerError, read_answer
from mminf.backend.wire import BrokenBodyError, parse_json, read_body, whole_number
from mminf.errors import RequestError
from mminf.limits import Limit

from ..fuzz import fuzz
from .test_failures import JSON

SMALL = Limit("answer_bytes", 1000, "bytes", "a test")


def body_of(content: bytes, **headers: str) -> bytes:
    """What `read_body` makes of a real response."""

    async def serve(request: web.Request) -> web.Response:
        return web.Response(body=content, headers={name.replace("_", "-"): value for name, value in headers.items()})

    async def run() -> bytes:
        app = web.Application()
        app.router.add_get("/", serve)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
            async with ClientSession(auto_decompress=False) as session, session.get(url) as response:
                return await read_body(response, SMALL)
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def test_bodies_are_unpacked_up_to_the_limit() -> None:
    assert body_of(b"x" * 1000) == b"x" * 1000
    assert body_of(gzip.compress(b"x" * 1000), Content_Encoding="gzip") == b"x" * 1000
    assert body_of(zlib.compress(b"abc"), Content_Encoding="deflate") == b"abc"
    for content, headers, message in (
        (b"x" * 1001, {}, r"too large: at most 1,000 bytes \(limit answer_bytes; MMINF_ANSWER_BYTES changes it\)"),
        (gzip.compress(b"x" * 10**8), {"Content_Encoding": "gzip"}, "too large"),
        (b"no gzip", {"Content_Encoding": "gzip"}, "can't be decompressed"),
        (gzip.compress(b"abc")[:-5], {"Content_Encoding": "gzip"}, "is truncated"),
        (b"x", {"Content_Encoding": "br"}, "content encoding 'br'"),
    ):
        with pytest.raises(BrokenBodyError, match=message):
            body_of(content, **headers)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"<html>login</html>", "HTML or XML"),
        (b'{"choices": [', "is truncated"),
        (b"[" * 300_000 + b"]" * 300_000, "not JSON"),
        (b'{"a": NaN, "b": ' + b"[" * 300_000, "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
    ],
)
def test_what_is_no_json_is_named(content: bytes, message: str) -> None:
    with pytest.raises(BrokenBodyError, match=message):
        parse_json(content)


@fuzz(200)
@given(st.binary(max_size=100))
def test_parsing_raises_nothing_else(content: bytes) -> None:
    try:
        parse_json(content)
    except BrokenBodyError as error:
        assert len(str(error)) < 500


@fuzz(300)
@given(JSON)
@example(float("nan"))
@example(float("inf"))
@example(10**400)
@example("99999999999999999999999999")
def test_counts_are_whole_numbers(value: Any) -> None:
    found = whole_number(value)
    assert 0 <= found < 2**53
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**50:
        assert found == value


def choice(finish_reason: str | None = "stop", **message: Any) -> dict[str, Any]:
    return {"choices": [{"message": message, "finish_reason": finish_reason}], "usage": {"prompt_tokens": 3}}


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("stop", "stop"), ("eos", "stop"), ("end_turn", "stop"), ("STOP", "stop"), (None, "stop"), ("length", "length"),
        ("MAX_TOKENS", "length"), ("FinishReason.STOP", "stop"), ("content_filter", "content_filter"), ("tool_calls", "tool_calls"), ("odd", "odd"),
    ],
)  # fmt: skip
def test_ends_of_answers(said: str | None, read: str) -> None:
    found = read_answer(choice(said, content="half"))
    assert (found.finish_reason, found.complete) == (read, read == "stop")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (choice(content=None, refusal="I can't help with that."), "the model refused: I can't help with that"),
        (choice(content="", refusal="No."), "the model refused: No"),
        (choice(content="Sorry.", refusal="No."), "the model refused: No"),
        (choice("content_filter", content=None), "content filter"),
        (choice("content_filter", content=""), "content filter"),
        (choice("tool_calls", content=None, tool_calls=[{}]), "called a tool"),
    ],
)
def test_what_a_model_or_server_keeps_back_is_the_reason(answer: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        read_answer(answer)


def test_statistics_do_not_fail_a_good_answer() -> None:
    for usage in (None, [1], {"prompt_tokens": "many"}, {"prompt_tokens": float("nan")}, "x", 5):
        answer = json.loads(json.dumps(choice(content="A red ball."))) | {"usage": usage}
        assert read_answer(answer).text == "A red ball."
    for logs in (5, {"content": 5}, {"content": [5]}, {"content": [{"logprob": None}]}, {"content": []}):
        answer = choice(content="x")
        answer["choices"][0]["logprobs"] = logs
        assert read_answer(answer).logprobs is None


@fuzz(500)
@given(JSON, JSON, JSON, JSON)
def test_an_answer_is_read_or_is_none(content: Any, finish: Any, usage: Any, rest: Any) -> None:
    for answer in (
        rest,
        {"choices": rest},
        {"choices": [rest]},
        {"choices": [{"message": rest, "finish_reason": finish}]},
        {"choices": [{"message": {"content": content}, "finish_reason": finish, "logprobs": rest}], "usage": usage},
    ):
        try:
            found = read_answer(answer)
        except (NoAnswerError, RequestError):
            continue
        assert isinstance(found.text, str)


def test_parts_of_an_answer() -> None:
    parts = [{"type": "reasoning", "text": "Hm."}, {"type": "text", "text": "A "}, "red", {"text": " ball."}, 5, None]
    assert read_answer(choice(content=parts)).text == "A red ball."
