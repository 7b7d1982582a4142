"""HTTP client of the servers behind one engine: meets them, sends calls, and sends again what failed in passing.

The client is aiohttp, which ms-swift's own client uses too: per call it costs a tenth of what the openai package
or httpx cost (docs/design.md has the figures).
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import orjson
from yarl import URL

from mminf.backend.base import shorten
from mminf.backend.endpoints import Endpoint, EndpointConfig, Endpoints, Lease, backoff, retry_after
from mminf.errors import EngineError, RequestError
from mminf.record import json_bytes

log = logging.getLogger("mminf")
Probe = Callable[[Lease], Awaitable[None]]
_MEETING, _CHECKING = 30, 10  # seconds in which a server lists its models
_LOST = (aiohttp.ClientError, OSError)  # a TimeoutError is an OSError


class Passing(Exception):
    """A failure that the same call may not meet again."""


class Refused(Passing):
    """The server takes no more calls for now.

    Args:
        seconds: for which it asked.
    """

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class Client:
    """Sends calls to the endpoints of one engine.

    Args:
        config: an OpenAIConfig.
    """

    def __init__(self, config: Any) -> None:
        self.config = config
        self.endpoints = Endpoints([self._endpoint(item) for item in config.base_url], self._answers, config.patience)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=config.timeout),
            headers={"Content-Type": "application/json"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Ends health checks and connections."""
        await self.endpoints.close()
        await self._session.close()

    async def meet(self) -> None:
        """Asks every server what it is and whether it has the model.

        Raises:
            EngineError: naming all that can't be reached, refuse the key or lack the model.
        """
        problems = await asyncio.gather(*(self._meet(endpoint) for endpoint in self.endpoints))
        if found := [problem for problem in problems if problem]:
            raise EngineError("\n".join(found))

    async def post(self, payload: dict[str, Any], probe: Probe | None = None) -> Any:
        """Sends a call until it is answered, and returns the answer.

        Args:
            probe: must pass on an endpoint before the call goes there.

        Raises:
            RequestError: if the server refuses this call, or failed on it too often.
            EngineError: if no server answers any more.
        """
        body = json_bytes(payload, "replace")
        failures, deadline = 0, math.inf
        last: Endpoint | None = None
        while True:
            lease = await self.endpoints.take(avoid=last)
            last = lease.endpoint
            try:
                if probe is not None and not last.leaves_open:
                    await probe(lease)
                return await self.send(lease, body)
            except Refused as error:
                # Seconds for which the server asked don't count: it said that it would answer later.
                deadline = min(deadline, time.monotonic() + self.config.timeout) + error.seconds
                if time.monotonic() > deadline:
                    raise RequestError(f"{error} (and so on for {self.config.timeout:g} s)") from error
                continue
            except Passing as error:
                failures, deadline = failures + 1, math.inf
                if failures > self.config.retries:
                    raise RequestError(f"{error} (sent {failures} times)") from error
            finally:
                self.endpoints.give_back(lease)
            if not self.endpoints.has_other(last):
                await asyncio.sleep(backoff(failures - 1))

    async def send(self, lease: Lease, body: bytes) -> Any:
        """Sends a call once, and returns the answer.

        Raises:
            Passing: if it may be sent again.
            RequestError: if the server refuses this call.
        """
        endpoint = lease.endpoint
        try:
            async with self._session.post(endpoint.chat, data=body, headers=endpoint.headers) as response:
                content = await response.read()
        except _LOST as error:
            late = isinstance(error, TimeoutError)
            failure = f"no answer within {self.config.timeout:g} s" if late else shorten(error)
            self.endpoints.failed(lease, failure)
            raise Passing(f"{endpoint.url}: {failure}") from error
        if response.status != 200:
            raise self._failure(lease, response.status, content, response.headers.get("Retry-After"))
        try:
            answer = _parse(content)
        except ValueError as error:
            raise Passing(f"{endpoint.url}: {shorten(error)}") from error
        self.endpoints.succeeded(lease)
        return answer

    async def try_each(self, probe: Probe) -> None:
        """Probes every endpoint that takes a call now; those that fail in passing are left out."""
        for endpoint in self.endpoints:
            if (lease := self.endpoints.take_now(endpoint)) is None:
                continue
            try:
                await probe(lease)
            except Passing as error:
                log.debug("%s was not probed: %s", endpoint.url, error)
            finally:
                self.endpoints.give_back(lease)

    def _failure(self, lease: Lease, status: int, content: bytes, after: str | None) -> Exception:
        """Notes what a refusal says of its endpoint, and returns what it means for the call."""
        text = " ".join(content.decode("utf-8", "replace").split())
        said = f"answered {status}: {text[:300]}"
        failure = f"{lease.endpoint.url} {said}"
        if status == 429 or (status == 503 and after is not None):
            seconds = retry_after(after)
            self.endpoints.refused(lease, seconds)
            return Refused(failure, seconds or 0.0)
        if status >= 500:
            self.endpoints.failed(lease, f"{said[:100]!r}")
            return Passing(failure)
        if status in (408, 409):
            return Passing(failure)
        self.endpoints.succeeded(lease)  # it is up, and the fault is the call's
        return RequestError(failure)

    def _endpoint(self, config: EndpointConfig) -> Endpoint:
        url = config.url.rstrip("/")
        key_env = config.api_key_env or self.config.api_key_env
        key = os.environ.get(key_env)
        return Endpoint(
            url,
            chat=URL(f"{url}/chat/completions"),
            key_env=key_env,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            limit=config.max_concurrency or math.inf,
        )

    async def _answers(self, endpoint: Endpoint) -> bool:
        try:
            status, _ = await self._list_models(endpoint, _CHECKING)
        except (*_LOST, ValueError):
            return False
        return status in (200, endpoint.listing)

    async def _list_models(self, endpoint: Endpoint, seconds: float) -> tuple[int, Any]:
        url = f"{endpoint.url}/models"
        limit = aiohttp.ClientTimeout(total=seconds)
        async with self._session.get(url, timeout=limit, headers=endpoint.headers) as response:
            return response.status, await response.json(content_type=None) if response.status == 200 else None

    async def _meet(self, endpoint: Endpoint) -> str | None:
        """Notes what answers at an endpoint. Returns what is wrong with it, or None."""
        name = self.config.model
        try:
            status, listing = await self._list_models(endpoint, _MEETING)
        except (*_LOST, ValueError) as error:
            return (
                f"model {name!r}: no server answers at {endpoint.url} ({shorten(error)}); start it, or correct the "
                "engine's `base_url`"
            )
        if status in (401, 403):
            return f"{endpoint.url} refuses the key ({status}); put it into the environment variable {endpoint.key_env}"
        if status < 500 and status != 429:
            endpoint.listing = status
        listed = listing.get("data") if isinstance(listing, dict) else None
        models = [item for item in listed or [] if isinstance(item, dict)]
        names = [str(item.get("id")) for item in models]
        if names and name not in names:
            return f"{endpoint.url} serves {', '.join(names[:8])}, not {name!r}"
        owner = str(models[0].get("owned_by", "")) if models else ""
        endpoint.server = {"vllm": "vllm", "swift": "swift", "ms-swift": "swift"}.get(owner, "openai")
        return None


def _parse(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except ValueError:  # some servers write NaN or Infinity as log-probability
        return json.loads(content)
