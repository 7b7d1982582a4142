"""`embeddings`: vectors in safetensors shards, optionally shifted to the embeddings of images."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from pydantic import Field

from mminf.errors import Problem, RecipeError, RecordError
from mminf.recipe.config import SinkConfig
from mminf.record import Record
from mminf.sink.base import Assets, Sink, Written, sink
from mminf.sink.placing import INDEX, VECTORS, replace_folder

if TYPE_CHECKING:
    from numpy import float64, floating
    from numpy.typing import NDArray

Vector: TypeAlias = "NDArray[float64]"
"""(dimensions,)"""
ROWS = 16384


class EmbeddingsConfig(SinkConfig):
    renamed: ClassVar[Mapping[str, str]] = {"rows": "rows_per_file"}
    reads: str = Field("embedding", description="Field with the key of the vector, as written by `embed`.")
    rows_per_file: int | None = Field(ROWS, ge=1, description="Maximum number of vectors per shard.")
    id_prefix: str = Field("", description="Prefix of each id, as in the dataset that the vectors belong to.")
    dtype: Literal["float32", "float16"] = Field("float32", description="Data type of the vectors in the shards.")
    center: bool = Field(True, description="Subtract the mean of all (normalised) vectors, then normalise again.")
    image_stats: Path | None = Field(
        None, description="`stats.safetensors` of image embeddings; vectors are shifted and scaled to them (ReAlign)."
    )


@sink("embeddings")
class Embeddings(Sink):
    """A folder: `vectors-00000.safetensors`, ..., `index.jsonl` (id, shard, row), `stats.safetensors`.

    Vectors are l2-normalised. Then their mean is subtracted, and they are normalised again (Unicorn, equation 3). With
    `image_stats` they become mean_x + sqrt(trace_x / trace) * (v - mean), are normalised, and are shifted so that their
    mean is that of the images (ReAlign, arXiv 2602.07026). Means are summed in double precision and in source order, so
    that they do not depend on the shards of a run. `stats.safetensors` contains `mean`, `trace` (mean squared distance
    from the mean), `count`, and with `image_stats` also `image_mean`, which is subtracted from images at inference.
    """

    config: EmbeddingsConfig
    Config = EmbeddingsConfig
    divisible = False  # each part would have its own mean

    def __init__(self, config: EmbeddingsConfig, output: Path) -> None:
        super().__init__(config, output)
        self._vector: Callable[[str], bytes | None] = lambda _: None
        self.image_stats = config.image_stats

    @property
    def reads(self) -> frozenset[str]:
        return frozenset([self.config.reads])

    def check(self) -> None:
        if self.image_stats is not None:
            _load_stats(self.image_stats)

    def attach(self, assets: Assets) -> None:
        self._vector = assets.vector

    def row(self, record: Record) -> dict[str, object]:
        return {"id": record.id, "vector": self._read(record)}

    def write(self, records: Iterable[Record]) -> Written:
        import numpy
        from safetensors.numpy import save_file

        left: list[str] = []
        mean, trace, count = self._sum(records, left)
        stats = {"mean": mean, "trace": numpy.array([trace]), "count": numpy.array([count], dtype=numpy.int64)}
        shift = self._shift(mean, trace, records)
        if self.image_stats is not None:
            stats["image_mean"] = _load_stats(self.image_stats)[0]
        placed = self.place(count, len(left))
        with replace_folder(self.path, VECTORS, lambda: placed.path) as part:
            if count:
                self._write_shards(part, ((name, shift(vector)) for name, vector in self._vectors(records, [])))
            save_file({name: numpy.ascontiguousarray(value) for name, value in stats.items()}, part / VECTORS)
        name = str(self.config.path.with_name(placed.path.name))
        return Written(name, count, len(left), left[0] if left else None, placed.before, placed.kept)

    def _sum(self, records: Iterable[Record], left: list[str]) -> tuple[Vector, float, int]:
        """Returns the mean, trace and number of the normalised vectors."""
        import numpy

        total: Vector | None = None
        count = 0
        for _, vector in self._vectors(records, left):
            total = vector.copy() if total is None else total + vector
            count += 1
        if total is None:
            return numpy.zeros(0), 0.0, 0
        mean = total / count
        # Of vectors of length 1, the mean squared distance from the mean is 1 - |mean|^2.
        return mean, float(1 - mean @ mean), count

    def _shift(self, mean: Vector, trace: float, records: Iterable[Record]) -> Callable[[Vector], Vector]:
        if self.image_stats is not None and len(mean):
            image_mean, image_trace = _load_stats(self.image_stats)
            if image_mean.shape != mean.shape:
                raise RecipeError(
                    [
                        Problem(
                            f"sink {self.config.path}",
                            f"{self.image_stats} has {len(image_mean)} dimensions, but the vectors have {len(mean)}; "
                            "embed images and texts with the same encoder",
                        )
                    ]
                )
            scale = math.sqrt(image_trace / trace) if trace > 0 else 1.0

            def align(vector: Vector) -> Vector:
                return _normalise(image_mean + scale * (vector - mean))

            moved = self._mean_of(align(vector) for _, vector in self._vectors(records, []))
            return lambda vector: align(vector) - moved + image_mean
        if self.config.center:
            return lambda vector: _normalise(vector - mean)
        return lambda vector: vector

    @staticmethod
    def _mean_of(vectors: Iterator[Vector]) -> Vector:
        total, count = next(vectors).copy(), 1
        for vector in vectors:
            total += vector
            count += 1
        return total / count

    def _write_shards(self, folder: Path, vectors: Iterator[tuple[str, Vector]]) -> None:
        import numpy
        from safetensors.numpy import save_file

        shard: NDArray[floating] | None = None
        names, number = 0, 0
        with (folder / INDEX).open("w", encoding="utf-8", errors="replace") as index:
            for name, vector in vectors:
                if shard is None:  # one array for all shards
                    shard = numpy.empty((self.config.rows_per_file or ROWS, len(vector)), self.config.dtype)
                shard[names] = vector
                index.write(json.dumps({"id": name, "shard": number, "row": names}, ensure_ascii=False) + "\n")
                names += 1
                if names == len(shard):
                    save_file({"vectors": shard}, folder / f"vectors-{number:05}.safetensors")
                    names, number = 0, number + 1
            if shard is not None and names:
                save_file({"vectors": shard[:names]}, folder / f"vectors-{number:05}.safetensors")

    def _vectors(self, records: Iterable[Record], left: list[str]) -> Iterator[tuple[str, Vector]]:
        """Yields the normalised vectors with the ids of their records; adds the errors of other records to `left`."""
        for record in records:
            try:
                if self.where is None or self.where.test(record.fields):
                    yield f"{self.config.id_prefix}{record.id}", self._read(record)
            except RecordError as error:
                left.append(f"record {record.id}: {error}")

    def _read(self, record: Record) -> Vector:
        import numpy

        data = self._vector(record.text(self.config.reads))
        if data is None:
            raise RecordError(f"the journal has no vector for field {self.config.reads!r}")
        vector = numpy.frombuffer(data, dtype="<f4").astype(numpy.float64)
        if not numpy.isfinite(vector).all() or not vector.any():
            raise RecordError(f"the vector of field {self.config.reads!r} is zero or not finite")
        return _normalise(vector)


def _normalise(vector: Vector) -> Vector:
    import numpy

    length = float(numpy.linalg.norm(vector))
    return vector / length if length > 0 else vector


def _load_stats(path: Path) -> tuple[Vector, float]:
    import numpy
    from safetensors.numpy import load_file

    try:
        stats = load_file(path)
        return stats["mean"].astype(numpy.float64), float(stats["trace"][0])
    except (OSError, KeyError, ValueError) as error:
        problem = f"{path} is not a `stats.safetensors` of an `embeddings` sink: {type(error).__name__}: {error}"
        raise RecipeError([Problem("sink embeddings: image_stats", problem)]) from error
