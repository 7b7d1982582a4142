"""Requests that are held back until they fill a batch."""

from __future__ import annotations

import asyncio

import pytest

from mminf.backend.transformers import gather
from mminf.backend.transformers.gather import Gather


def test_a_full_batch_is_released_at_once_and_together() -> None:
    async def work() -> None:
        held = Gather(3)
        started = asyncio.get_running_loop().time()
        await asyncio.gather(*(held.wait() for _ in range(6)))
        assert asyncio.get_running_loop().time() - started < gather.QUIET
        assert not held._waiting and held._timer is None

    asyncio.run(work())


def test_what_comes_shortly_after_is_released_with_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "QUIET", 0.2)
    monkeypatch.setattr(gather, "MOST", 5.0)

    async def work() -> None:
        held, loop = Gather(100), asyncio.get_running_loop()
        released: list[float] = []

        async def one(after: float) -> None:
            await asyncio.sleep(after)
            await held.wait()
            released.append(loop.time())

        await asyncio.gather(*(one(after) for after in (0, 0.02, 0.05)))
        assert len(released) == 3 and max(released) - min(released) < 0.05

    asyncio.run(work())


def test_nobody_waits_for_ever_and_a_cancelled_request_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "QUIET", 0.1)
    monkeypatch.setattr(gather, "MOST", 0.25)

    async def work() -> None:
        held = Gather(1000)
        first = asyncio.create_task(held.wait())
        gone = asyncio.create_task(held.wait())
        await asyncio.sleep(0)
        gone.cancel()
        others = []
        for _ in range(8):  # one comes every 60 ms, so that it is never quiet
            others.append(asyncio.create_task(held.wait()))
            await asyncio.sleep(0.06)
        assert first.done() and not first.cancelled()
        assert gone.cancelled()
        await asyncio.gather(*others)

    asyncio.run(work())
