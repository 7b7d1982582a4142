"""Converts a dataset to Parquet with its images in the rows, which loads without the files of this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mminf.card.datasets import Dataset
from mminf.card.rows import IMAGES, Row
from mminf.errors import OutputError
from mminf.image import ImagePolicy, local_path, read_image
from mminf.record import Record
from mminf.run_folder import image_policy
from mminf.sink.base import Written
from mminf.sink.parquet import ParquetConfig, ParquetSink

_FILE_BYTES = 400 * 10**6
_FEWEST, _MOST = 100, 100_000
"""Bounds of the number of rows per file."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the sample says about the images of a dataset.

    Attributes:
        row_bytes: mean number of bytes of a row with its images.
        missing: number of rows of the sample with an image that does not exist.
        example: path of such an image.
    """

    row_bytes: float
    missing: int
    example: str | None

    @property
    def rows_per_file(self) -> int:
        return max(_FEWEST, min(_MOST, int(_FILE_BYTES / max(1.0, self.row_bytes))))


def estimate(folder: Path, dataset: Dataset, rows: list[Row]) -> Estimate:
    """Returns the size of a dataset's rows with their images."""
    sizes, missing = [], []
    for row in rows:
        paths = [_place(folder, dataset, uri) for uri in row.local_images]
        missing += [path for path in paths if not path.is_file()][:1]
        sizes.append(sum(path.stat().st_size for path in paths if path.is_file()))
    text = dataset.size / dataset.rows if dataset.rows else 0
    mean = sum(sizes) / len(sizes) if sizes else 0
    return Estimate(mean + text, len(missing), str(missing[0]) if missing else None)


def _place(folder: Path, dataset: Dataset, uri: str) -> Path:
    """Returns the path of an image; relative ones start at the folder of the dataset's files."""
    return _base(folder, dataset) / (local_path(uri) or uri)


def _base(folder: Path, dataset: Dataset) -> Path:
    return (folder / dataset.files[0]).parent


def embedded_name(dataset: Dataset, taken: frozenset[str]) -> str:
    """Returns the path of the folder for the converted dataset."""
    short = dataset.path.removesuffix(f".{dataset.format}")
    return short if short not in taken - {dataset.path} else f"{short}-images"


def embed_images(output: Path, folder: Path, dataset: Dataset, target: Path, rows_per_file: int) -> Written:
    """Writes a dataset as a folder of Parquet files, with the images in the rows.

    Args:
        output: output folder of the run, whose source says which images may be read.
        target: folder that is written.

    Raises:
        OutputError: if it is not known which images may be read.
    """
    policy = image_policy(output)
    if isinstance(policy, str):
        raise OutputError(f"{dataset.path}: the images can't be read: {policy.partition(': ')[2]}")
    copies = (folder / f"{dataset.path}.images").resolve()
    if policy.roots is not None:
        policy = replace(policy, roots=(*policy.roots, copies))
    sink = ParquetSink(
        ParquetConfig(path=Path(target.name), embed_images=True, rows_per_file=rows_per_file), target.parent
    )
    sink.attach(_Images(policy))
    return sink.write(_Rows(folder, dataset))


@dataclass(frozen=True, slots=True)
class _Images:
    """Reads the images of rows."""

    policy: ImagePolicy

    def vector(self, key: str) -> bytes | None:
        return None

    def image(self, uri: str) -> bytes:
        return read_image(uri, self.policy)


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a dataset as records, read again in each iteration. Columns with one image become lists."""

    folder: Path
    dataset: Dataset

    def __iter__(self) -> Iterator[Record]:
        number = 0
        for name in self.dataset.files:
            if self.dataset.is_folder and not name.endswith(f".{self.dataset.format}"):
                continue
            for row in _read_rows(self.folder / name, self.dataset.format):
                fields = {key: value for key, value in row.items() if key != "id"}
                yield Record(str(row.get("id", number)), self._with_places(fields), number)
                number += 1

    def _with_places(self, fields: dict[str, Any]) -> dict[str, Any]:
        if "image" in fields:
            fields["images"] = fields.pop("image")
        for name in IMAGES:
            if isinstance(fields.get(name), str):
                fields[name] = [fields[name]]
            if isinstance(fields.get(name), list):
                fields[name] = [self._absolute(uri) for uri in fields[name]]
        return fields

    def _absolute(self, uri: object) -> object:
        if not isinstance(uri, str) or local_path(uri) is None:
            return uri
        return str(_place(self.folder, self.dataset, uri))


def _read_rows(path: Path, kind: str | None) -> Iterator[Mapping[str, Any]]:
    if kind == "parquet":
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
        return
    with path.open("rb") as lines:
        for line in lines:
            if (text := line.strip().rstrip(b",")) not in (b"", b"[", b"]"):
                yield json.loads(text)
