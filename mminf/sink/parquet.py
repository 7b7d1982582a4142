"""`parquet`: records as Parquet, in one file or several."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pydantic import Field

from mminf.recipe.config import Names, SinkConfig
from mminf.record import Record
from mminf.sink.base import Assets, Sink, sink

if TYPE_CHECKING:
    import pyarrow

BATCH, FEW = 500, 25  # rows, without and with images
_EMBEDDED = ("images", "rejected_images")


class ParquetConfig(SinkConfig):
    columns: Names = Field(default_factory=list, description="Fields to write; all fields by default.")
    embed_images: bool = Field(
        False, description="Store the image files in the rows, in the format of Hugging Face datasets."
    )


@sink("parquet")
class ParquetSink(Sink):
    """Parquet with `id` and one column per field.

    A field whose values have different types in different records is written as JSON text.
    With `embed_images`, `images` and `rejected_images` are lists of `{bytes, path}`, which `datasets.load_dataset`
    reads as images.
    """

    config: ParquetConfig
    Config = ParquetConfig
    ending = "parquet"

    def __init__(self, config: ParquetConfig, output: Path) -> None:
        super().__init__(config, output)
        self.opens_images = config.embed_images
        self._assets: Assets | None = None
        self._schema: pyarrow.Schema = None  # set by `survey`

    @property
    def selects(self) -> frozenset[str]:
        return frozenset(self.config.columns)

    def attach(self, assets: Assets) -> None:
        self._assets = assets

    def row(self, record: Record) -> dict[str, object]:
        row = self._plain_row(record)
        if self.config.embed_images and self._assets is not None:
            for name in _EMBEDDED:
                if isinstance(images := row.get(name), list):
                    row[name] = [_embedded(uri, self._assets.image(uri)) for uri in images]
        return row

    def _plain_row(self, record: Record) -> dict[str, object]:
        """Returns the row without the bytes of its images."""
        names = self.config.columns or list(record.fields)
        return {"id": record.id} | {
            name: record.fields[name] for name in names if name in record.fields and name != "id"
        }

    def count_file(self, path: Path) -> int | None:
        import pyarrow
        import pyarrow.parquet

        try:
            return int(pyarrow.parquet.read_metadata(path).num_rows)
        except (pyarrow.ArrowException, OSError):
            return None

    def survey(self, records: Iterable[Record]) -> None:
        self._schema = self._find_schema(self._plain_row(record) for record in records)

    def write_file(self, file: IO[bytes], rows: Iterable[Mapping[str, object]], first: int) -> None:
        import pyarrow
        import pyarrow.parquet

        schema = self._schema
        # A row may contain images of megabytes.
        size = FEW if schema.metadata else BATCH
        with pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            for batch in _batches(rows, size):
                columns = [_column([row.get(field.name) for row in batch], field.type) for field in schema]
                writer.write_batch(pyarrow.record_batch(columns, schema=schema))

    def _find_schema(self, rows: Iterable[Mapping[str, object]]) -> pyarrow.Schema:
        """Returns the schema: the type of each column, from one pass over all rows without their images."""
        import pyarrow

        types: dict[str, pyarrow.DataType] = {"id": pyarrow.string()}
        for batch in _batches(rows):
            for name in dict.fromkeys(name for row in batch for name in row):
                types[name] = _join(types.get(name), [row.get(name) for row in batch])
        embedded = [name for name in _EMBEDDED if name in types] if self.config.embed_images else []
        image = pyarrow.list_(pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())]))
        fields = [pyarrow.field(name, image if name in embedded else _storable(kind)) for name, kind in types.items()]
        return _with_features(pyarrow.schema(fields), embedded) if embedded else pyarrow.schema(fields)


def _batches(rows: Iterable[Mapping[str, object]], size: int = BATCH) -> Iterator[list[Mapping[str, object]]]:
    iterator = iter(rows)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def _join(known: pyarrow.DataType | None, values: list[object]) -> pyarrow.DataType:
    """Returns the common type of a column's values so far; string, for JSON text, if there is none."""
    import pyarrow

    try:
        found = pyarrow.array(values).type
        if known is None:
            return found
        kinds = [pyarrow.schema([("x", kind)]) for kind in (known, found)]
        return pyarrow.unify_schemas(kinds, promote_options="permissive").field("x").type
    except (pyarrow.ArrowException, ValueError, TypeError, OverflowError):
        return pyarrow.string()


def _storable(kind: pyarrow.DataType) -> pyarrow.DataType:
    """Returns the type, or string if Parquet can't store it: a type of nulls or of empty objects, also nested."""
    import pyarrow

    return kind if _has_column(kind) else pyarrow.string()


def _has_column(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return kind.num_fields > 0 and all(_has_column(field.type) for field in kind)
    return _has_column(kind.value_type) if types.is_list(kind) else not types.is_null(kind)


def _embedded(uri: object, image: bytes) -> dict[str, object]:
    return {"bytes": image, "path": str(uri).rpartition("/")[2]}


def _with_features(schema: pyarrow.Schema, names: Sequence[str]) -> pyarrow.Schema:
    """Returns the schema with metadata that declares columns of images for Hugging Face datasets."""
    from datasets import Features, Image, List

    features = Features.from_arrow_schema(schema)
    for name in names:
        features[name] = List(Image())
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features.to_dict()}})})


def _column(values: list[object], kind: pyarrow.DataType) -> pyarrow.Array:
    import pyarrow

    if pyarrow.types.is_string(kind):
        return pyarrow.array([_text(value) for value in values], kind)
    if pyarrow.types.is_floating(kind):  # integers beyond 2**53 are rounded
        values = [float(value) if isinstance(value, int) else value for value in values]
    return pyarrow.array(values, kind)


def _text(value: object) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()
