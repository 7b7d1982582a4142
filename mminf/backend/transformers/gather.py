"""Holds requests back until they fill a batch: ms-swift starts a batch with what is there, and it runs to its end."""

from __future__ import annotations

import asyncio

QUIET = 0.03
"""Seconds without another request after which a batch that is not full starts. A batch takes much longer."""
MOST = 0.3
"""Seconds that a request waits at most."""


class Gather:
    """Releases requests together.

    Args:
        size: number of requests that fill a batch.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._latest = 0.0

    async def wait(self) -> None:
        """Returns when the batch of this request is full, or when no more requests come."""
        loop = asyncio.get_running_loop()
        released = loop.create_future()
        if not self._waiting:
            self._latest = loop.time() + MOST
        self._waiting.append(released)
        if self._timer is not None:
            self._timer.cancel()
        if len(self._waiting) >= self._size:
            self._release()
        else:
            self._timer = loop.call_at(min(loop.time() + QUIET, self._latest), self._release)
        await released

    def _release(self) -> None:
        self._timer = None
        waiting, self._waiting = self._waiting, []
        for released in waiting:
            if not released.done():  # a cancelled request is not sent
                released.set_result(None)
