"""Endpoints that share the calls of one engine: which one gets the next call, which rests, which is out."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

from mminf.backend.failures import Streak
from mminf.errors import EngineError

if TYPE_CHECKING:
    from yarl import URL

log = logging.getLogger("mminf")
FULL = 128  # calls in flight that keep an endpoint full whose limit nobody has set
FAILURES = 5  # in a row open a circuit
FIRST_CHECK, LAST_CHECK = 1.0, 30.0  # seconds between two health checks, doubled from the first to the last
LONGEST_PAUSE, WORTH_TELLING = 300.0, 10.0  # seconds of a pause


@dataclass(slots=True, eq=False)
class Endpoint:
    """One address, and how it does.

    Attributes:
        chat, listing_url: where calls go, and where it lists its models.
        key_env: environment variable that holds the key, for messages.
        headers: hold the key.
        proxy: that calls go through, None: none.
        models: names that it lists.
        limit: at most so many calls in flight; inf: as many as come.
        circuit: `open` after too many failures, then it gets no calls; `half-open` once a health check has passed,
            then it gets one call on trial.
        openings: how often the circuit was opened.
        tried: a call on trial is in flight.
        busy: calls in flight.
        failures, failure: those in a row, and what the last one was.
        refusals: those in a row that did not say how long to wait.
        pause: ends at this timer; it gets no calls until then.
        server: what answers there, as far as it says.
        listing: status with which it lists its models; some hosted APIs list none.
        has_key: its headers hold a key.
        streak: failures in a row that every call to it will meet.
        leaves_open: it was seen to leave the user's turn open.
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
    pause: asyncio.TimerHandle | None = None
    has_key: bool = False
    server: str = "openai"
    models: tuple[str, ...] = ()
    streak: Streak = field(default_factory=Streak)
    listing: int = 200
    leaves_open: bool = False

    def met(self, models: tuple[str, ...], server: str) -> None:
        """Notes what it lists and what it is."""
        self.models, self.server = models, server

    @property
    def is_free(self) -> bool:
        if self.pause is not None or self.busy >= self.limit or self.circuit == "open":
            return False
        return self.circuit == "closed" or not self.tried

    @property
    def load(self) -> float:
        return self.busy / (FULL if self.limit == math.inf else self.limit)


class Lease(NamedTuple):
    """A slot of an endpoint. What its call meets counts only while the circuit was not opened meanwhile."""

    endpoint: Endpoint
    openings: int

    @property
    def is_stale(self) -> bool:
        return self.openings != self.endpoint.openings


class Endpoints:
    """Chooses an endpoint for each call.

    Args:
        answers: asks an endpoint whether it is up; never raises.
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
        """Returns a slot of the least loaded endpoint, to be given back; first come, first served where all are full.

        Args:
            avoid: is taken only if no other one is free.

        Raises:
            EngineError: if no endpoint has been up for as long as patience lasts.
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
        """Tells whether another endpoint is free."""
        return any(other.is_free for other in self._endpoints if other is not endpoint)

    def succeeded(self, lease: Lease) -> None:
        """Notes that the endpoint has answered."""
        endpoint = lease.endpoint
        if lease.is_stale:
            return
        endpoint.failures = endpoint.refusals = 0
        self._stop_giving_up()
        if endpoint.circuit == "half-open":
            endpoint.circuit = "closed"
            log.info("%s answers again", endpoint.url)

    def failed(self, lease: Lease, failure: str) -> None:
        """Notes a failure that is the endpoint's own; too many in a row open its circuit."""
        endpoint = lease.endpoint
        if lease.is_stale:
            return
        endpoint.failures += 1
        endpoint.failure = failure
        if endpoint.circuit == "half-open" or endpoint.failures >= FAILURES:
            self._open(endpoint)

    def refused(self, lease: Lease, seconds: float | None, said: str = "") -> None:
        """Lets an endpoint rest that takes no more calls for now.

        Args:
            seconds: for how long; None: longer from one refusal in a row to the next.
            said: its words, for the log.
        """
        endpoint = lease.endpoint
        if seconds is None:
            if endpoint.pause is not None:
                return  # of the same burst as the one that began the pause
            seconds = backoff(endpoint.refusals)
            endpoint.refusals += 1
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        if endpoint.pause is not None:
            if endpoint.pause.when() >= until:
                return
            endpoint.pause.cancel()
        elif seconds >= WORTH_TELLING:
            log.info("%s takes no calls for %.0f s; it %s", endpoint.url, seconds, said or "is full")
        endpoint.pause = loop.call_at(until, self._end_pause, endpoint)

    async def close(self) -> None:
        """Ends health checks, pauses and waits."""
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
        # Equal loads go round, else the first of several idle servers would get everything.
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
        if endpoint.circuit == "closed":
            log.warning(
                "%s gets no calls until it is up again; it failed %d in a row, the last by %s",
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
        """A health check that passed has not ended the outage: some servers list models and answer no call."""
        self._overdue = any(endpoint.tried for endpoint in self._endpoints)
        if self._overdue:
            return  # the call on trial decides
        self._giving_up = None
        self._given_up = True
        for waiter, _ in self._waiting:
            if not waiter.done():
                waiter.set_exception(self._lost())
        self._waiting.clear()

    def _lost(self) -> EngineError:
        named = ", ".join(f"{endpoint.url} ({endpoint.failure})" for endpoint in self._endpoints)
        return EngineError(
            f"no server has answered for {self._patience:g} s at {named}; what is done is kept: start a server, and "
            "the same command goes on"
        )


def backoff(attempt: int, *, base: float = 0.5, top: float = 30.0) -> float:
    """Returns seconds to wait before the next try: exponential with full jitter."""
    return random.uniform(0, min(top, base * 2 ** min(attempt, 64)))


def retry_after(value: str | None) -> float | None:
    """Returns the seconds that a Retry-After header asks for, at most 300; None if it names no time to come.

    Args:
        value: seconds or an HTTP date.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return min(seconds, LONGEST_PAUSE) if seconds > 0 else None
