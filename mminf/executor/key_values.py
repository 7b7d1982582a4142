"""Communication between the ranks of a run: torchrun's key-value store, and the heartbeats in it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Protocol

from mminf.errors import Interrupted, UsageError
from mminf.executor.marker import POLL_SECONDS
from mminf.executor.torchrun import FAILED, PREFIX, Rank

SILENT_SECONDS = 120.0
RESUME = "progress is saved: run the same command to resume, with any number of ranks"


class _Store(Protocol):
    """The methods of torch.distributed.Store that are used."""

    def set(self, key: str, value: str) -> None: ...
    def get(self, key: str) -> bytes: ...
    def check(self, keys: list[str]) -> bool: ...


class KeyValueStore:
    """The store that all ranks share.

    Docs: PyTorch, "Distributed communication package", "Distributed Key-Value Store".
    """

    def __init__(self, rank: Rank) -> None:
        import torch.distributed

        found = torch.distributed.rendezvous("env://", rank=rank.rank, world_size=rank.world_size)
        store = next(iter(found))[0]
        self._rank = rank
        self._store: _Store = torch.distributed.PrefixStore(PREFIX, store)

    def write(self, key: str, value: str) -> None:
        """Writes a value. Raises UsageError if the store is gone."""
        try:
            self._store.set(key, value)
        except RuntimeError as error:  # torch's DistNetworkError and the like
            raise _gone(error) from error

    def fail(self, message: str) -> None:
        """Tells the ranks of other nodes that this one failed. Raises UsageError if the store is gone."""
        self.write(FAILED, json.dumps([self._rank.node, f"rank {self._rank.rank} failed: {message}"]))

    def find(self, key: str) -> str | None:
        """Returns a value, or None if there is none yet. Raises UsageError if the store is gone."""
        try:
            if not self._store.check([key]):
                return None
            text = self._store.get(key)
        except RuntimeError as error:
            raise _gone(error) from error
        return text.decode()

    async def read(self, key: str, wanted: Callable[[], bool]) -> str:
        """Waits for a value.

        Args:
            wanted: returns whether the value is still needed.

        Raises:
            Interrupted: if the value is no longer needed.
            UsageError: if a rank on another node has failed meanwhile.
        """
        while (text := self.find(key)) is None:
            if not wanted():
                raise Interrupted("the run is draining")
            if (failure := self.find(FAILED)) is not None:
                node, said = json.loads(failure)
                if node != self._rank.node:  # on its own node, a rank prints its error, and torchrun ends the others
                    raise UsageError(said)
            await asyncio.sleep(POLL_SECONDS)
        return text


def _gone(error: RuntimeError) -> UsageError:
    return UsageError(f"the node of rank 0 can no longer be reached ({error}); {RESUME}")


class RankHeartbeat:
    """Detects a rank that no longer writes its counters: its node was killed or disconnected."""

    def __init__(self, store: KeyValueStore, rank: int) -> None:
        self._store = store
        self._rank = rank
        self._last: str | None = None
        self._since = time.monotonic()

    def check(self) -> None:
        """Raises UsageError after `SILENT_SECONDS` without a change."""
        if (found := self._store.find(stats_key(self._rank))) != self._last:
            self._last, self._since = found, time.monotonic()
        elif time.monotonic() - self._since > SILENT_SECONDS:
            raise UsageError(f"rank {self._rank} has sent no heartbeat for {SILENT_SECONDS:.0f} s; {RESUME}")


def stats_key(rank: int) -> str:
    """Returns the key of a rank's counters, which are its heartbeat."""
    return f"stats/{rank}"
