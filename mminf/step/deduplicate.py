"""`deduplicate`: keeps the first record of each group of exact duplicates, near duplicates or similar images.

MinHash and its LSH index are datasketch's, perceptual hashes are imagehash's. Both are standard libraries, and their
defaults make results comparable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from pydantic import Field

from mminf.answer.shingles import shingles
from mminf.errors import RecordError
from mminf.recipe.config import Names, StepConfig
from mminf.record import Record, digest
from mminf.step.base import DatasetStep, Drop, Outcome, step
from mminf.step.context import Context
from mminf.template import images_in

if TYPE_CHECKING:
    from numpy import uint64
    from numpy.typing import NDArray


class DeduplicateConfig(StepConfig):
    renamed: ClassVar[Mapping[str, str]] = {"distance": "max_distance"}
    reads: Names = Field(description="Fields to compare; with `method: image`, `images`.")
    method: Literal["exact", "minhash", "image"] = Field(
        "exact", description="`exact`: equal values; `minhash`: similar texts; `image`: similar images."
    )
    threshold: float = Field(
        0.8, gt=0, le=1, description="minhash: minimum Jaccard similarity (estimated) of word 3-grams."
    )
    permutations: int = Field(128, ge=16, description="minhash: number of hash functions.")
    max_distance: int = Field(
        4, ge=0, le=32, description="image: maximum Hamming distance between the 64-bit perceptual hashes."
    )


@step("deduplicate")
class Deduplicate(DatasetStep[DeduplicateConfig]):
    """Keeps the first record, in source order, of each group of duplicates."""

    def run_all(self, records: Iterable[Record], ctx: Context) -> Iterator[tuple[Record, Outcome | RecordError]]:
        seen = _METHODS[self.config.method](self.config, ctx)

        def decide(record: Record) -> Outcome:
            twin = seen.find_or_add(record)
            return {} if twin is None else Drop(f"duplicate of {twin}")

        return self.each(records, decide)


class _Seen(Protocol):
    """The records that were kept so far."""

    def find_or_add(self, record: Record) -> str | None:
        """Returns the id of a record that this one is a duplicate of; keeps it if there is none."""


class _Exact:
    """Memory: one digest of 32 hex digits and one id per distinct record."""

    def __init__(self, config: DeduplicateConfig, ctx: Context) -> None:
        self.config = config
        self.ids: dict[str, str] = {}

    def find_or_add(self, record: Record) -> str | None:
        first = self.ids.setdefault(digest([record[name] for name in self.config.reads]), record.id)
        return None if first == record.id else first


class _MinHash:
    def __init__(self, config: DeduplicateConfig, ctx: Context) -> None:
        from datasketch import MinHashLSH

        self.config = config
        self.index = MinHashLSH(threshold=config.threshold, num_perm=config.permutations)
        self.order: dict[str, int] = {}

    def find_or_add(self, record: Record) -> str | None:
        from datasketch import MinHash

        sketch = MinHash(num_perm=self.config.permutations)
        text = " ".join(_text(record, name) for name in self.config.reads)
        sketch.update_batch([shingle.encode() for shingle in shingles(text)])
        twins = self.index.query(sketch)
        if twins:
            return str(min(twins, key=self.order.__getitem__))
        self.order[record.id] = len(self.order)
        self.index.insert(record.id, sketch)
        return None


def _text(record: Record, name: str) -> str:
    value = record[name]
    return "\n".join(map(str, value)) if isinstance(value, list) else record.text(name)


class _ImageHash:
    """Compares with every hash that was kept, 8 bytes each; this takes some seconds for 100,000 images.

    Records are duplicates if they have the same number of images, and each image is similar to its counterpart.
    """

    def __init__(self, config: DeduplicateConfig, ctx: Context) -> None:
        import numpy

        self.config = config
        self.ctx = ctx
        self.first: NDArray[uint64] = numpy.zeros(1024, dtype=numpy.uint64)
        self.kept: list[tuple[str, list[int]]] = []

    def find_or_add(self, record: Record) -> str | None:
        import imagehash
        import numpy

        hashes = [int(str(imagehash.phash(self.ctx.read_image(uri))), 16) for uri in images_in(record.fields)]
        if not hashes:
            return None
        count = len(self.kept)
        apart = numpy.bitwise_count(self.first[:count] ^ numpy.uint64(hashes[0]))
        for index in numpy.flatnonzero(apart <= self.config.max_distance).tolist():
            twin, others = self.kept[index]
            if len(others) == len(hashes) and all(
                (one ^ other).bit_count() <= self.config.max_distance for one, other in zip(hashes, others, strict=True)
            ):
                return str(twin)
        if count == len(self.first):
            self.first = numpy.resize(self.first, 2 * count)
        self.first[count] = hashes[0]
        self.kept.append((record.id, hashes))
        return None


_METHODS: dict[str, Callable[[DeduplicateConfig, Context], _Seen]] = {
    "exact": _Exact,
    "minhash": _MinHash,
    "image": _ImageHash,
}
