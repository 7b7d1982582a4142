"""A part of a run: the records that one process of several takes."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property

from mminf.errors import UsageError

_REPEATED = re.compile(r"(?:~\d+)+$")
_NAME = re.compile(r"(\d{5})-of-(\d{5})")


@dataclass(frozen=True)
class Part:
    """One of `of` parts of a run's records, counted from 0.

    A record's part depends on its id alone, so every machine cuts the same input in the same way.
    """

    number: int
    of: int

    @cached_property
    def name(self) -> str:
        """`00003-of-00008`, as files of shards are called in the field."""
        return f"{self.number:05}-of-{self.of:05}"

    def owns(self, record: str) -> bool:
        """Tells whether a source record of that id is in this part.

        Records that share an id, and were told apart by `~2`, `~3`, are in the same part, which then is the only one
        that needs to remember the id.
        """
        text = _REPEATED.sub("", record).encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") % self.of == self.number

    @classmethod
    def parse(cls, text: str) -> Part:
        """Returns the part that `3/8` means. Raises UsageError if it means none."""
        number, _, of = text.partition("/")
        if not (number.strip().isdecimal() and of.strip().isdecimal()) or not 0 <= int(number) < int(of):
            raise UsageError(f"--shard {text!r}: give i/n with i from 0 to n-1, such as 0/8 to 7/8 for eight shards")
        return cls(int(number), int(of))

    @classmethod
    def of_name(cls, name: str) -> Part | None:
        """Returns the part of a folder that `name` called so, or None."""
        found = _NAME.fullmatch(name)
        return None if found is None else cls(int(found[1]), int(found[2]))
