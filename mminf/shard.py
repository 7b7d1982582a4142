"""A shard of a run: the records that one of several processes works on."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property

from mminf.errors import UsageError

_REPEATED = re.compile(r"(?:~\d+)+$")
_NAME = re.compile(r"(\d{5})-of-(\d{5})")


@dataclass(frozen=True)
class Shard:
    """One of `count` shards of a run's records, counted from 0.

    A record's shard depends on its id alone, so every machine splits the same input in the same way.
    """

    index: int
    count: int

    @cached_property
    def name(self) -> str:
        """`00003-of-00008`, the usual name of a shard's files."""
        return f"{self.index:05}-of-{self.count:05}"

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def owns(self, record: str) -> bool:
        """Returns whether a source record with that id is in this shard.

        Records with the same id, which get the suffixes `~2`, `~3`, are in the same shard, so only that shard has to
        remember the id.
        """
        text = _REPEATED.sub("", record).encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") % self.count == self.index

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Returns the shard that `3/8` names. Raises UsageError if the text is not valid."""
        index, _, count = text.partition("/")
        if not (index.strip().isdecimal() and count.strip().isdecimal()) or not 0 <= int(index) < int(count):
            raise UsageError(f"--shard {text!r}: give i/n with i from 0 to n-1, such as 0/8 to 7/8 for eight shards")
        return cls(int(index), int(count))

    @classmethod
    def from_name(cls, name: str) -> Shard | None:
        """Returns the shard that has this `name`, or None."""
        found = _NAME.fullmatch(name)
        return None if found is None else cls(int(found[1]), int(found[2]))
