"""A sample of the rows of a stream."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Given = TypeVar("Given")
Kept = TypeVar("Kept")


class Reservoir(Generic[Given, Kept]):
    """Keeps a uniform sample of a stream: the first `size` items, of which later ones replace some (algorithm R).

    Args:
        keep: returns what is kept of an item that enters the sample.
    """

    def __init__(self, size: int, keep: Callable[[Given], Kept], seed: int) -> None:
        self.size = size
        self.seen = 0
        self._random = random.Random(seed)
        self._keep = keep
        self._items: list[tuple[int, Kept]] = []

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: Given) -> None:
        self.seen += 1
        if len(self._items) < self.size:
            self._items.append((self.seen, self._keep(item)))
        elif (place := self._random.randrange(self.seen)) < self.size:
            self._items[place] = (self.seen, self._keep(item))

    def drain(self) -> Iterator[Kept]:
        """Yields the sample in the order of the stream, and forgets it."""
        self._items.sort(key=lambda item: -item[0])
        while self._items:
            yield self._items.pop()[1]
