"""HTTP client for the servers of one engine: identifies them, sends calls, and retries temporary failures.

It uses aiohttp, as ms-swift's client does. A call costs a tenth of what it costs with the openai package or httpx
(figures in docs/design.md).
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import aiohttp
from yarl import URL

from mminf.backend.address import KEY_HEADERS, EndpointConfig, fill_in, find_proxy, key_headers
from mminf.backend.base import shorten
from mminf.backend.chat_answer import NoAnswerError, read_answer
from mminf.backend.endpoints import Endpoint, Endpoints, Lease
from mminf.backend.failures import HOPELESS, Failure, Streak, error_inside, fix, read_failure, similar
from mminf.backend.parameters import Change, adapt, apply, merge, rejected
from mminf.backend.waits import DeadEngineError, RateLimitError, Rejected, TransientError, backoff, retry_after
from mminf.backend.wire import BrokenBodyError, parse_json, read_body
from mminf.errors import EngineError, RequestError
from mminf.limits import ANSWER_BYTES, LISTING_BYTES
from mminf.record import json_bytes
from mminf.redact import redact
from mminf.request import Generation

log = logging.getLogger("mminf")
Probe = Callable[[Lease], Awaitable[None]]
_MEETING, _CHECKING = 30, 10  # seconds to wait for a server's list of models
_IDLE = 4.0
"""Seconds until an idle connection is closed here. vLLM's server closes it after 5 s, and a call that is sent at that
moment would fail."""
_LOST = (aiohttp.ClientError, OSError)  # a TimeoutError is an OSError
_GIVEN_UP = 3
"""Number of calls in a row, each refused for `timeout` seconds, that stops the run."""
_CHANGES = 8
"""Maximum number of parameters that are changed for one call."""


class Client:
    """Sends calls to the endpoints of one engine.

    Args:
        config: an OpenAIConfig.

    Raises:
        EngineError: if an environment variable in `headers`, `query` or `extra_body` is not set.
    """

    def __init__(self, config: Any) -> None:
        self.config = config
        self.extra_body = fill_in(config.extra_body, "extra_body")
        self.endpoints = Endpoints([self._endpoint(item) for item in config.base_url], self._answers, config.patience)
        self._changes: dict[str, Change] = {}
        self._full = Streak()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE),
            timeout=aiohttp.ClientTimeout(total=config.timeout),
            # Decompressed here, up to a limit. Answers are small, so no compression is requested.
            auto_decompress=False,
            headers={"Content-Type": "application/json", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Stops health checks and closes connections."""
        await self.endpoints.close()
        await self._session.close()

    async def meet(self) -> None:
        """Identifies every server, and checks that it serves the model.

        Raises:
            EngineError: if servers can't be reached, reject the key or do not serve the model; it names all of them.
        """
        problems = await asyncio.gather(*(self._meet(endpoint) for endpoint in self.endpoints))
        if found := [problem for problem in problems if problem]:
            raise EngineError("\n".join(found))

    async def post(self, payload: dict[str, Any], probe: Probe | None = None) -> Generation:
        """Sends a call, with retries, and returns the answer.

        Args:
            probe: must pass on an endpoint before the call is sent there.

        Raises:
            RequestError: if the server refuses this call, or all retries failed.
            EngineError: if no server answers any more, or every call would fail in the same way.
        """
        failures, changes, deadline = 0, 0, math.inf
        last: Endpoint | None = None
        while True:
            lease = await self.endpoints.take(avoid=last)
            last = lease.endpoint
            try:
                if probe is not None and not last.leaves_open:
                    await probe(lease)
                return await self.send(lease, payload)
            except Rejected as error:
                changes += 1
                if changes > _CHANGES:
                    raise RequestError(str(error)) from error
                continue
            except RateLimitError as error:
                deadline = self._postpone(deadline, error)
                continue
            except DeadEngineError:
                deadline = math.inf  # the call is not to blame: it waits for a server as long as `patience` says
            except TransientError as error:
                failures, deadline = failures + 1, math.inf
                if failures > self.config.retries:
                    raise RequestError(f"{error} (sent {failures} times)") from error
            finally:
                self.endpoints.give_back(lease)
            if not self.endpoints.has_other(last):
                await asyncio.sleep(backoff(failures - 1))

    def _postpone(self, deadline: float, error: RateLimitError) -> float:
        """Returns the deadline for retries of a refused call.

        Raises:
            RequestError: if the deadline has passed.
            EngineError: if it has passed for several calls in a row.
        """
        # A wait that the server asked for does not count as part of `timeout`.
        deadline = min(deadline, time.monotonic() + self.config.timeout) + error.seconds
        if time.monotonic() <= deadline:
            return deadline
        refused = f"{error} (retried for {self.config.timeout:g} s)"
        if self._full.add("busy", _GIVEN_UP):
            self._stop(refused, _GIVEN_UP)
        raise RequestError(refused) from error

    async def send(self, lease: Lease, payload: dict[str, Any]) -> Generation:
        """Sends a call once, and returns the answer.

        Raises:
            TransientError: if a retry may succeed.
            Rejected: if it can be retried at once with other parameters.
            RequestError: if the server refuses this call.
            EngineError: if the server refuses every call, or a setting of the recipe.
        """
        endpoint = lease.endpoint
        payload = self._adapted(payload)
        body = json_bytes(payload, "replace")
        try:
            async with self._session.post(
                endpoint.chat, data=body, headers=endpoint.headers, proxy=endpoint.proxy, allow_redirects=False
            ) as response:
                content = await read_body(response, ANSWER_BYTES)
        except _LOST as error:
            late = isinstance(error, TimeoutError)
            failure = f"no answer within {self.config.timeout:g} s" if late else redact(shorten(error))
            self.endpoints.failed(lease, failure)
            raise TransientError(f"{endpoint.url}: {failure}") from error
        except BrokenBodyError as error:
            raise TransientError(f"{endpoint.url}: {error}") from error
        if not 200 <= response.status < 300:
            header = response.headers.get
            refused = read_failure(response.status, content, after=header("Retry-After"), target=header("Location"))
            raise self._failure(lease, refused, payload, header("Retry-After"))
        try:
            answer = parse_json(content)
            if (inside := error_inside(answer)) is not None:
                raise self._failure(lease, read_failure(*inside), payload)
            found = read_answer(answer)
        except (BrokenBodyError, NoAnswerError) as error:
            raise TransientError(f"{endpoint.url}: {error}") from error
        self.endpoints.succeeded(lease)
        endpoint.streak.end()
        self._full.end()
        return found

    async def try_each(self, probe: Probe) -> None:
        """Probes every endpoint that can take a call now; those with a temporary failure are skipped."""
        for endpoint in self.endpoints:
            if (lease := self.endpoints.take_now(endpoint)) is None:
                continue
            try:
                await probe(lease)
            except (TransientError, Rejected) as error:
                log.debug("%s was not probed: %s", endpoint.url, error)
            finally:
                self.endpoints.give_back(lease)

    def _adapted(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Returns a payload with the engine's `extra_body`, and with the changes that the server requires."""
        return apply(merge(payload, self.extra_body), self._changes)

    def _failure(self, lease: Lease, failure: Failure, payload: dict[str, Any], after: str | None = None) -> Exception:
        """Records a failure at its endpoint, and returns the exception for the call.

        Raises:
            EngineError: if every call would fail in the same way.
        """
        endpoint = lease.endpoint
        told = f"{endpoint.url} {failure.said}"
        if failure.kind == "busy":
            seconds = retry_after(after)
            self.endpoints.refused(lease, seconds, failure.said)
            return RateLimitError(told, seconds or 0.0)
        if failure.kind in ("down", "dead"):
            died = "its engine has died: restart it, its log has the cause; " if failure.kind == "dead" else ""
            self.endpoints.failed(lease, f"{died}{failure.said[:100]!r}")
            return TransientError(told) if failure.kind == "down" else DeadEngineError(told)
        if failure.kind == "again":
            return TransientError(told)
        if (name := rejected(failure, payload)) is not None:
            guessed = endpoint.server == "openai"
            self._change(
                adapt(name, payload, failure, model=self.config.model, own=self.extra_body, no_defaults=guessed)
            )
            return Rejected(told)
        if failure.kind in HOPELESS:
            return self._hopeless(lease, failure, told)
        self.endpoints.succeeded(lease)  # the server is up; the call itself is invalid
        return RequestError(told)

    def _change(self, change: Change) -> None:
        if change.name not in self._changes:
            self._changes[change.name] = change
            done = f"is sent as {change.other}" if change.other else "is left out"
            log.warning("model %r rejects %s, which %s: %s", self.config.model, change.name, done, change.why)

    def _hopeless(self, lease: Lease, failure: Failure, told: str) -> Exception:
        """Handles a failure that every call to this endpoint would have.

        Calls are sent to the other endpoints, if there are any. Otherwise a few failures in a row stop the run.
        """
        endpoint = lease.endpoint
        hint = fix(
            failure,
            url=endpoint.url,
            key_env=endpoint.key_env,
            has_key=endpoint.has_key,
            model=self.config.model,
            models=endpoint.models,
        )
        told = f"{told}; {hint}"
        most = HOPELESS[failure.kind]
        if endpoint.streak.add(failure.kind, most) and all(other.streak.is_over for other in self.endpoints):
            self._stop(told, most)
        if failure.kind != "access" and any(other is not endpoint for other in self.endpoints):
            self.endpoints.failed(lease, failure.said)
            return TransientError(told)
        self.endpoints.succeeded(lease)
        return RequestError(told)

    def _stop(self, told: str, most: int) -> NoReturn:
        raise EngineError(
            f"{told}; {most} calls in a row failed like this, so the run stops; progress is saved, run the "
            "same command to resume"
        )

    def _endpoint(self, config: EndpointConfig) -> Endpoint:
        key_env = config.api_key_env or self.config.api_key_env
        query = fill_in({**self.config.query, **config.own_query}, "query")
        headers = fill_in({**self.config.headers, **config.headers}, "headers")
        names = {name.lower() for name in headers}
        keys = {} if names & KEY_HEADERS else key_headers(config.base, key_env)
        return Endpoint(
            config.base,
            chat=URL(f"{config.base}/chat/completions").update_query(query),
            listing_url=URL(f"{config.base}/models").update_query(query),
            key_env=key_env,
            headers={**keys, **headers},
            has_key=bool(keys) or bool(names & KEY_HEADERS),
            proxy=find_proxy(config.base),
            limit=config.max_concurrency or math.inf,
        )

    async def _answers(self, endpoint: Endpoint) -> bool:
        try:
            status, _, _ = await self._list_models(endpoint, _CHECKING)
        except (*_LOST, ValueError):
            return False
        return status in (200, endpoint.listing)

    async def _list_models(self, endpoint: Endpoint, seconds: float) -> tuple[int, Any, str | None]:
        """Returns status, list of models, and target of a redirect."""
        limit = aiohttp.ClientTimeout(total=seconds)
        url = endpoint.listing_url or f"{endpoint.url}/models"
        async with self._session.get(
            url, timeout=limit, headers=endpoint.headers, proxy=endpoint.proxy, allow_redirects=False
        ) as response:
            content = await read_body(response, LISTING_BYTES) if response.status == 200 else b""
        return response.status, parse_json(content) if content else None, response.headers.get("Location")

    async def _meet(self, endpoint: Endpoint) -> str | None:
        """Records the kind and the models of an endpoint. Returns its problem, or None."""
        name = self.config.model
        try:
            status, listing, target = await self._list_models(endpoint, _MEETING)
        except BrokenBodyError as error:
            log.info("%s: the list of models can't be read: %s", endpoint.url, error)
            status, listing, target = 200, None, None
        except (*_LOST, ValueError) as error:
            return (
                f"model {name!r}: no server answers at {endpoint.url} ({redact(shorten(error))}); start one, or "
                "correct the engine's `base_url`"
            )
        if status in (401, 403):
            key = f"the environment variable {endpoint.key_env}"
            return f"{endpoint.url} rejects the key ({status}); set {key} to a valid key"
        if 300 <= status < 400 and target:
            shown = redact(target)[:120]
            return f"{endpoint.url} redirects to {shown}; set the engine's `base_url` to the correct address"
        if status < 500 and status != 429:
            endpoint.listed(status)
        elif status >= 500:
            log.warning("%s answers %d to the request for its models", endpoint.url, status)
        models = _listed(listing)
        owner = str(models[0].get("owned_by", "")) if models else ""
        server = {"vllm": "vllm", "swift": "swift", "ms-swift": "swift"}.get(owner, "openai")
        endpoint.met(tuple(str(item.get("id")) for item in models if item.get("id")), server)
        if endpoint.models and name not in endpoint.models:
            return f"{endpoint.url} does not serve {name!r}{similar(name, endpoint.models)}"
        return None


def _listed(listing: Any) -> list[dict[str, Any]]:
    """Returns the models of a listing; some servers send a list instead of an object."""
    data = listing.get("data") if isinstance(listing, dict) else listing
    return [item for item in data if isinstance(item, dict)] if isinstance(data, list) else []
