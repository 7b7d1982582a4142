"""Where a run writes: its output, and the folder with its journal."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from mminf.journal.folders import shard_folder, shard_folders
from mminf.journal.lock import hold
from mminf.journal.mirror import Mirror, fetch_journal, push_journal
from mminf.shard import Shard
from mminf.storage import is_remote


class Workspace:
    """The output of a run.

    Args:
        target: folder for the datasets, a path or a `UPath`.
        folder: folder of the journal; by default the target, or a local folder if the target is in a store.

    Attributes:
        target: where the datasets go.
        folder: where the journal is.
    """

    def __init__(self, target: Path, folder: Path | None = None) -> None:
        self.target = target
        self._mirror = Mirror(target) if is_remote(target) else None
        self.folder = folder or (target if self._mirror is None else self._mirror.folder)

    @property
    def is_remote(self) -> bool:
        """Whether the output is in a store."""
        return self._mirror is not None

    @contextlib.asynccontextmanager
    async def lead(self, on_lost: Callable[[], None]) -> AsyncIterator[None]:
        """Holds the lock of the output, with its journal on this machine.

        Args:
            on_lost: called if the output is in a store, and another process takes its lock.

        Raises:
            JournalError: if another run holds it.
        """
        with hold(self.folder, name=self.target):
            if self._mirror is None:
                yield
                return
            async with self._mirror.lead(on_lost):
                yield

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Holds the lock like `lead`, for short synchronous work."""
        with hold(self.folder, name=self.target), self._mirror or contextlib.nullcontext():
            yield

    def check(self) -> None:
        """Raises JournalError if another process has taken the lock of the output in a store."""
        if self._mirror is not None:
            self._mirror.check()

    async def push(self, *, merged: bool = False) -> None:
        """Sends the journal to the store, if the output is in one.

        Args:
            merged: shards' journals were merged into it, so they are removed from the store.
        """
        if self._mirror is not None:
            await asyncio.to_thread(self._mirror.push)
            if merged:
                await asyncio.to_thread(self._mirror.remove_shards)

    async def pull_shards(self) -> None:
        """Fetches the journals of the shards from the store, if the output is in one."""
        if self._mirror is not None:
            await asyncio.to_thread(self._mirror.pull_shards)

    def push_shards(self) -> None:
        """Sends the journals of shards that are here to the store, if the output is in one."""
        if self._mirror is not None:
            for shard, folder in shard_folders(self.folder).items():
                push_journal(folder, shard_folder(self.target, shard))

    def fetch(self, shard: Shard | None = None) -> None:
        """Fetches the journals of the run, and of a shard, from the store; existing local journals are kept."""
        if self._mirror is not None:
            fetch_journal(self.target, self.folder)
            if shard is not None:
                fetch_journal(shard_folder(self.target, shard), shard_folder(self.folder, shard))
