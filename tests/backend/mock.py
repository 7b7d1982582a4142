"""A server of our own that answers, refuses and breaks as servers do, and what asks it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from mminf.backend.openai import OpenAIBackend, OpenAIConfig
from mminf.request import Request, Sampling
from mminf.turns import Turn

Answer = web.StreamResponse | str
Handler = Callable[[dict[str, Any], int], Answer | Awaitable[Answer]]
CUT = "a body that ends before its length"
LOST = "no answer, but a closed connection"


def answer(text: str, prompt_tokens: int = 7) -> web.Response:
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": 3}
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return web.json_response({"choices": [choice], "usage": usage})


class Mock:
    """A server.

    Attributes:
        handler: answers a call, given its body and its number, from 1.
        calls: (body, headers) of each.
        listing: status with which models are listed; 0: the connection is closed.
        listed: how often they were asked for.
        busy, peak: calls in flight, and the most at a time.
    """

    def __init__(self, handler: Handler, owner: str, models: tuple[str, ...]) -> None:
        self.handler = handler
        self.owner = owner
        self.models = models
        self.calls: list[Any] = []
        self.url = ""
        self.listing = 200
        self.listed = 0
        self.keys: list[str | None] = []
        self.busy = self.peak = 0

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.calls.append((body, dict(request.headers)))
        self.busy += 1
        self.peak = max(self.peak, self.busy)
        try:
            found = self.handler(body, len(self.calls))
            made = await found if inspect.isawaitable(found) else found
        finally:
            self.busy -= 1
        return await _break(request, made) if isinstance(made, str) else made

    async def list_models(self, request: web.Request) -> web.StreamResponse:
        self.listed += 1
        self.keys.append(request.headers.get("Authorization"))
        if not self.listing:
            return await _break(request, LOST)
        data = [{"id": name, "owned_by": self.owner} for name in self.models]
        return web.json_response({"data": data}, status=self.listing)


async def _break(request: web.Request, how: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    if how == CUT:
        await response.prepare(request)
        await response.write(b'{"choices": [')
    assert request.transport is not None
    request.transport.close()
    return response


@asynccontextmanager
async def serve(
    handler: Handler = lambda body, n: answer("x"), *, owner: str = "vllm", models: tuple[str, ...] = ("m",)
) -> AsyncIterator[Mock]:
    mock = Mock(handler, owner, models)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", mock.chat)
    app.router.add_get("/v1/models", mock.list_models)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    mock.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield mock
    finally:
        await runner.cleanup()


@asynccontextmanager
async def server(handler: Handler, **settings: Any) -> AsyncIterator[tuple[str, list[Any]]]:
    async with serve(handler, **settings) as mock:
        yield mock.url, mock.calls


def request(text: str = "hi", **settings: Any) -> Request:
    open_turn = settings.pop("open_turn", None)
    return Request((Turn("user", (text,)),), (), Sampling(**settings), open_turn, seed=5)


def make(*urls: Any, **settings: Any) -> OpenAIBackend:
    return OpenAIBackend(OpenAIConfig(backend="openai", model="m", base_url=list(urls), **settings))


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


async def hang(body: dict[str, Any], n: int) -> web.Response:
    await asyncio.sleep(60)
    return answer("too late")
