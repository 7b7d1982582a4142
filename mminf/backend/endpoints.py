"""Distributes the calls of one engine over its endpoints, with pauses (rate limits) and circuit breakers."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from mminf.backend.failures import Streak
from mminf.backend.waits import LONGEST_PAUSE, backoff
from mminf.errors import EngineError

if TYPE_CHECKING:
    from yarl import URL

log = logging.getLogger("mminf")
FULL = 128  # capacity in calls in flight of an endpoint without `max_concurrency`
FAILURES = 5  # in a row that open a circuit
FIRST_CHECK, LAST_CHECK = 1.0, 30.0  # seconds between health checks, doubled from the first to the last
REFUSES = 20.0  # seconds in which a server accepts no call before that is logged
WORTH_TELLING = 10.0  # seconds from which a pause is logged


@dataclass(slots=True, eq=False)
class Endpoint:
    """One address and its state.

    Attributes:
        chat, listing_url: URLs for calls and for the list of models.
        key_env: environment variable of the key, for messages.
        headers: sent with every call, including the key.
        proxy: proxy for calls, or None.
        models: names that the server lists.
        limit: maximum number of calls in flight; inf if there is none.
        circuit: `open` after too many failures: no calls are sent. `half-open` after a passed health check: one trial
            call is sent.
        openings: how often the circuit was opened.
        tried: a trial call is in flight.
        busy: calls in flight.
        failures, failure: number of failures in a row, and the last one.
        refusals: number of refusals in a row that did not say how long to wait.
        last_refusal: time of the last refusal.
        told_after: seconds after which refusals of all calls are logged.
        refused_since: time of the loop at the first refusal since the last answer; None if it has refused none.
        pause: timer that ends a pause; no calls are sent until then.
        server: kind of the server, as far as it is known.
        listing: status of the request for the list of models; some hosted APIs have no such list.
        has_key: the headers include a key.
        streak: failures in a row that every call to it would have.
        leaves_open: a probe has shown that the server leaves the user's turn open.
    """

    url: str
    chat: URL
    key_env: str
    headers: dict[str, str] = field(repr=False)
    listing_url: URL | None = None
    proxy: str | None = field(default=None, repr=False)
    limit: float = math.inf
    circuit: Literal["closed", "open", "half-open"] = "closed"
    openings: int = 0
    tried: bool = False
    busy: int = 0
    failures: int = 0
    failure: str = ""
    refusals: int = 0
    refused_since: float | None = None
    last_refusal: float = 0.0
    told_after: float = REFUSES
    pause: asyncio.TimerHandle | None = None
    has_key: bool = False
    server: str = "openai"
    models: tuple[str, ...] = ()
    streak: Streak = field(default_factory=Streak)
    listing: int = 200
    leaves_open: bool = False

    def met(self, models: tuple[str, ...], server: str) -> None:
        """Records the listed models and the kind of the server."""
        self.models, self.server = models, server

    def listed(self, status: int) -> None:
        """Records the status of the request for the list of models."""
        self.listing = status

    def passed_probe(self) -> None:
        """Records that the server leaves the user's turn open."""
        self.leaves_open = True

    @property
    def is_free(self) -> bool:
        if self.pause is not None or self.busy >= self.limit or self.circuit == "open":
            return False
        return self.circuit == "closed" or not self.tried

    @property
    def load(self) -> float:
        return self.busy / (FULL if self.limit == math.inf else self.limit)


class Lease(NamedTuple):
    """A slot of an endpoint. Its result is ignored if the circuit was opened in the meantime."""

    endpoint: Endpoint
    openings: int

    @property
    def is_stale(self) -> bool:
        return self.openings != self.endpoint.openings


class Endpoints:
    """Chooses an endpoint for each call.

    Args:
        answers: health check, returns whether an endpoint is up; never raises.
        patience: seconds to wait for an answer once all circuits are open.
    """

    def __init__(
        self, endpoints: Sequence[Endpoint], answers: Callable[[Endpoint], Awaitable[bool]], patience: float
    ) -> None:
        self._endpoints = list(endpoints)
        self._answers = answers
        self._patience = patience
        self._waiting: deque[tuple[asyncio.Future[Lease], Endpoint | None]] = deque()
        self._watches: dict[Endpoint, asyncio.Task[None]] = {}
        self._giving_up: asyncio.TimerHandle | None = None
        self._given_up = False
        self._overdue = False

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(tuple(self._endpoints))

    async def take(self, avoid: Endpoint | None = None) -> Lease:
        """Returns a slot of the least loaded endpoint, or waits for one in order; `give_back` releases it.

        Args:
            avoid: used only if no other endpoint is free.

        Raises:
            EngineError: if no endpoint has been up for `patience` seconds.
        """
        if not self._waiting and (endpoint := self._choose(avoid)) is not None:
            return self._lease(endpoint)
        while True:
            lease = await self._wait(avoid)
            if not lease.is_stale:
                return lease
            self.give_back(lease)

    def take_now(self, endpoint: Endpoint) -> Lease | None:
        """Returns a slot of this endpoint, if it has a free one."""
        return self._lease(endpoint) if endpoint.is_free else None

    def give_back(self, lease: Lease) -> None:
        """Frees a slot."""
        lease.endpoint.busy -= 1
        if not lease.is_stale:
            lease.endpoint.tried = False
        if self._waiting:
            self._hand_out()

    def has_other(self, endpoint: Endpoint) -> bool:
        """Returns whether another endpoint is free."""
        return any(other.is_free for other in self._endpoints if other is not endpoint)

    def succeeded(self, lease: Lease) -> None:
        """Records an answer of the endpoint."""
        endpoint = lease.endpoint
        if lease.is_stale:
            return
        endpoint.failures = endpoint.refusals = 0
        endpoint.refused_since = None
        self._stop_giving_up()
        if endpoint.circuit == "half-open":
            endpoint.circuit = "closed"
            log.info("%s answers again", endpoint.url)

    def failed(self, lease: Lease, failure: str) -> None:
        """Records a failure of the endpoint; too many in a row open its circuit."""
        endpoint = lease.endpoint
        if lease.is_stale:
            return
        endpoint.failures += 1
        endpoint.failure = failure
        if endpoint.circuit == "half-open" or endpoint.failures >= FAILURES:
            self._open(endpoint)

    def refused(self, lease: Lease, seconds: float | None, said: str = "") -> None:
        """Pauses an endpoint that accepts no more calls for now.

        Args:
            seconds: length of the pause; if None, it increases with each refusal in a row.
            said: the server's message, for the log.
        """
        endpoint = lease.endpoint
        loop = asyncio.get_running_loop()
        self._tell_refusals(endpoint, loop.time(), said or "is full")
        if seconds is None:
            if endpoint.pause is not None:
                return  # part of the burst that started the pause
            seconds = backoff(endpoint.refusals)
            endpoint.refusals += 1
        until = loop.time() + seconds
        if endpoint.pause is not None:
            if endpoint.pause.when() >= until:
                return
            endpoint.pause.cancel()
        elif seconds >= WORTH_TELLING:
            log.info("%s gets no calls for %.0f s: the server %s", endpoint.url, seconds, said or "is full")
        endpoint.pause = loop.call_at(until, self._end_pause, endpoint)

    def _tell_refusals(self, endpoint: Endpoint, now: float, said: str) -> None:
        """Logs that a server only refuses calls and answers none, again after twice the time."""
        last, endpoint.last_refusal = endpoint.last_refusal, now
        if endpoint.refused_since is None or now - last > LONGEST_PAUSE + REFUSES:  # no call was sent for a while
            endpoint.refused_since, endpoint.told_after = now, REFUSES
        elif now - endpoint.refused_since >= endpoint.told_after:
            log.warning(
                "%s has answered no call for %.0f s, and refuses new ones: the server %s",
                *(endpoint.url, now - endpoint.refused_since, said),
            )
            endpoint.told_after *= 2

    async def close(self) -> None:
        """Stops health checks, pauses and waits."""
        self._stop_giving_up()
        for endpoint in self._endpoints:
            if endpoint.pause is not None:
                endpoint.pause.cancel()
        for waiter, _ in self._waiting:
            waiter.cancel()
        watches = list(self._watches.values())
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)

    def _choose(self, avoid: Endpoint | None) -> Endpoint | None:
        free = [endpoint for endpoint in self._endpoints if endpoint.is_free]
        if len(free) > 1 and avoid in free:
            free.remove(avoid)
        return min(free, key=lambda endpoint: endpoint.load) if free else None

    def _lease(self, endpoint: Endpoint) -> Lease:
        endpoint.busy += 1
        endpoint.tried = endpoint.circuit == "half-open"
        # Round robin for equal loads; otherwise the first of several idle servers would get every call.
        self._endpoints.remove(endpoint)
        self._endpoints.append(endpoint)
        return Lease(endpoint, endpoint.openings)

    async def _wait(self, avoid: Endpoint | None) -> Lease:
        if self._given_up:
            raise self._lost()
        waiter: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
        self._waiting.append((waiter, avoid))
        self._hand_out()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.give_back(waiter.result())
            raise

    def _hand_out(self) -> None:
        while self._waiting:
            waiter, avoid = self._waiting[0]
            if not waiter.done():
                if (endpoint := self._choose(avoid)) is None:
                    return
                waiter.set_result(self._lease(endpoint))
            self._waiting.popleft()

    def _end_pause(self, endpoint: Endpoint) -> None:
        endpoint.pause = None
        self._hand_out()

    def _open(self, endpoint: Endpoint) -> None:
        was_closed = endpoint.circuit == "closed"
        if was_closed:
            log.warning(
                "%s gets no calls until a health check passes: %d failures in a row, the last: %s",
                endpoint.url,
                endpoint.failures,
                endpoint.failure,
            )
        endpoint.circuit = "open"
        endpoint.openings += 1
        self._watches[endpoint] = asyncio.create_task(self._watch(endpoint))
        endpoint.tried = False
        if any(other.circuit != "open" for other in self._endpoints):
            return
        if self._overdue:
            self._give_up()
        elif self._giving_up is None:
            if was_closed:
                log.warning("no server answers; the run stops if none does for %g s (`patience`)", self._patience)
            self._giving_up = asyncio.get_running_loop().call_later(self._patience, self._give_up)

    async def _watch(self, endpoint: Endpoint) -> None:
        """Half-opens the circuit as soon as a health check passes."""
        seconds = FIRST_CHECK
        await asyncio.sleep(seconds)
        while not await self._answers(endpoint):
            seconds = min(2 * seconds, LAST_CHECK)
            await asyncio.sleep(seconds)
        endpoint.circuit = "half-open"
        endpoint.tried = False
        self._given_up = False
        self._hand_out()

    def _stop_giving_up(self) -> None:
        self._given_up = self._overdue = False
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None

    def _give_up(self) -> None:
        """Fails the waiting calls. A passed health check does not prevent it: some servers only list models."""
        self._overdue = any(endpoint.tried for endpoint in self._endpoints)
        if self._overdue:
            return  # the trial call decides
        self._giving_up = None
        self._given_up = True
        for waiter, _ in self._waiting:
            if not waiter.done():
                waiter.set_exception(self._lost())
        self._waiting.clear()

    def _lost(self) -> EngineError:
        named = ", ".join(f"{endpoint.url} ({endpoint.failure})" for endpoint in self._endpoints)
        return EngineError(
            f"no server has answered for {self._patience:g} s: {named}; progress is saved: start a server, and run the "
            "same command to resume"
        )
