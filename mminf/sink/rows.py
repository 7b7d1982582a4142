"""`jsonl`: records as JSON Lines."""

from __future__ import annotations

from pydantic import Field

from mminf.recipe.config import Names
from mminf.record import Record
from mminf.sink.base import sink
from mminf.sink.images import ImagePathsConfig, ImagePathsSink


class RowsConfig(ImagePathsConfig):
    columns: Names = Field(default_factory=list, description="Fields to write; all fields by default.")


@sink("jsonl")
class JsonLinesSink(ImagePathsSink):
    """One JSON object per record, with its id and its fields."""

    config: RowsConfig
    Config = RowsConfig

    @property
    def selects(self) -> frozenset[str]:
        return frozenset(self.config.columns)

    def row(self, record: Record) -> dict[str, object]:
        fields = record.fields
        if self.config.columns:
            fields = {name: fields[name] for name in self.config.columns if name in fields}
        row: dict[str, object] = {**fields, "id": record.id}
        images = row.get("images")
        if isinstance(images, list) and all(isinstance(uri, str) for uri in images):
            row["images"] = self.name_images(images)
        return self.name_rejected(row)
