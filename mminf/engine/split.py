"""Divides the source records of a run into parts, such as train and validation.

The part of a source record follows from a digest of its id and of the split's seed, so that more records never move
the earlier ones, and all rows of a source record are in one part. The shares are those of the expectation.

With `stratify`, the shares are also met exactly, within rounding, by the source records with each value of a field.
They are taken in source order, in blocks of as many records as the smallest share needs to get one record. In each
block, every part has a fixed number of places, and the digest of a record chooses one of the places that are left
(permuted blocks, drawn by selection sampling). Records that come after the others in the source never move them. A
record that is added between them moves some of those after it that have the same value.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterable
from fractions import Fraction
from itertools import accumulate, pairwise

from mminf.errors import Problem, RecipeError, nearest
from mminf.recipe.config import SplitConfig
from mminf.record import Record, canonical_json

log = logging.getLogger("mminf")
_BITS = 64
_MANY = 1000
"""Number of values of a field above which a warning says that they are many."""


class Splitter:
    """Says which part a source record is in.

    Args:
        config: names and shares of the parts.
    """

    def __init__(self, config: SplitConfig) -> None:
        self.config = config
        shares = [Fraction(str(share)) for share in config.shares.values()]
        self._names = list(config.shares)
        self._bounds = [Fraction(0), *accumulate(shares)]
        self._limits = [int(bound * 2**_BITS) for bound in self._bounds[1:-1]]
        self._block = math.ceil(1 / min(shares))
        self._moved: dict[str, int] = {}
        """Parts of the source records that stratification puts into another part than their digest alone."""

    def part(self, root: str) -> str:
        """Returns the name of the part that a source record is in.

        Args:
            root: id of the source record.
        """
        moved = self._moved.get(root)
        return self._names[self._drawn(self._draw(root)) if moved is None else moved]

    def stratify(self, records: Iterable[Record]) -> None:
        """Balances the parts for each value of the field `stratify`, if there is one.

        The value of a source record is that of its first record. Source records without accepted records are not
        balanced.

        Args:
            records: all accepted records in source order, streamed.

        Raises:
            RecipeError: if no record has the field.
        """
        if (field := self.config.stratify) is None:
            return
        strata: dict[bytes, _Stratum] = {}
        before, found = None, False
        names: set[str] = set()
        for record in records:
            if record.origin == before:
                continue
            before = record.origin
            found = found or field in record.fields
            if not found:
                names |= record.fields.keys()
            value = canonical_json([record.fields[field]] if field in record.fields else [])
            stratum = strata.setdefault(hashlib.blake2b(value, digest_size=16).digest(), _Stratum())
            draw = self._draw(before)
            if (part := self._take(stratum, draw)) != self._drawn(draw):
                self._moved[before] = part
        if strata and not found:
            raise RecipeError(
                [Problem("split", f"stratify: no accepted record has a field {field!r}{nearest(field, names)}")]
            )
        if len(strata) > _MANY:
            log.warning(
                "split: field %r has %d values; values with fewer than %d source records can't have exact shares",
                field,
                len(strata),
                self._block,
            )

    def _draw(self, root: str) -> int:
        text = f"split\x1f{self.config.seed}\x1f{root}".encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(text, digest_size=_BITS // 8).digest(), "big")

    def _drawn(self, draw: int) -> int:
        """Returns the part whose share of the range of digests contains a digest."""
        return sum(draw >= limit for limit in self._limits)

    def _take(self, stratum: _Stratum, draw: int) -> int:
        if not any(stratum.left):
            stratum.left = self._places(stratum.blocks)
            stratum.blocks += 1
        place = draw * sum(stratum.left) >> _BITS
        part = next(part for part, end in enumerate(accumulate(stratum.left)) if place < end)
        stratum.left[part] -= 1
        return part

    def _places(self, blocks: int) -> list[int]:
        """Returns the places of each part in a block. Over all blocks, they are the shares, rounded.

        Args:
            blocks: number of earlier blocks.
        """

        def until(records: int) -> list[int]:
            return [after - before for before, after in pairwise(int(records * bound) for bound in self._bounds)]

        pairs = zip(until((blocks + 1) * self._block), until(blocks * self._block), strict=True)
        return [after - before for after, before in pairs]


class _Stratum:
    """The source records with one value.

    Attributes:
        blocks: number of blocks that were begun.
        left: places of each part that are left in the current block.
    """

    __slots__ = ("blocks", "left")

    def __init__(self) -> None:
        self.blocks = 0
        self.left: list[int] = []
