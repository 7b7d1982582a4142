"""`jsonl`: the records themselves."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from mminf.recipe.config import Names, SinkConfig
from mminf.record import Record
from mminf.sink.base import Sink, sink


class RowsConfig(SinkConfig):
    columns: Names = Field(default_factory=list, description="Only these fields; all by default.")


@sink("jsonl")
class JsonLinesSink(Sink):
    """One JSON object a record: its id and its fields."""

    Config = RowsConfig

    def row(self, record: Record) -> dict[str, Any]:
        fields = record.fields
        if self.config.columns:
            fields = {name: fields[name] for name in self.config.columns if name in fields}
        return {**fields, "id": record.id}
