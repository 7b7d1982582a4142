"""`dataset`: a Hugging Face dataset that was saved to disk."""

from __future__ import annotations

import dataclasses
import itertools
import operator
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from mminf.errors import SourceError
from mminf.recipe.config import SourceConfig
from mminf.record import Record
from mminf.shard import Shard
from mminf.source.base import BadRow, home_of, source
from mminf.source.reader import RowSource
from mminf.source.rows import FEW
from mminf.storage import is_remote

if TYPE_CHECKING:
    from datasets import Dataset
    from datasets.features.features import FeatureType as Feature


class DatasetConfig(SourceConfig):
    split: str = Field("train", description="Name of the split, if the folder contains several.")


@source("dataset")
class DatasetOnDisk(RowSource):
    """A dataset saved with `Dataset.save_to_disk` or `DatasetDict.save_to_disk`, memory-mapped."""

    config: DatasetConfig
    Config = DatasetConfig

    def read(self, shard: Shard | None = None) -> Iterator[Record | BadRow]:
        reader = self._open_reader(shard)
        for index, row in enumerate(self._load()):
            yield from reader.read(row, f"{self.path.name}[{index}]", home_of(self.path / "_"))

    def _first_rows(self) -> Iterator[Mapping[str, object]]:
        return itertools.islice(self._load(), FEW)

    def count(self) -> int:
        return len(self._load())

    def _load(self) -> Dataset:
        import datasets

        if is_remote(self.path):
            raise SourceError(f"{self.path}: a dataset saved to disk must be in a local folder; save it as Parquet")
        try:
            loaded = datasets.load_from_disk(str(self.path))
        except (OSError, ValueError) as error:
            raise SourceError(f"{self.path} is not a dataset saved to disk: {error}") from error
        if isinstance(loaded, datasets.DatasetDict):
            if self.config.split not in loaded:
                raise SourceError(f"{self.path} has no split {self.config.split!r}; its splits are {', '.join(loaded)}")
            loaded = loaded[self.config.split]
        for name, feature in loaded.features.items():
            if (raw := _undecoded(feature)) is not feature:
                loaded = loaded.cast_column(name, raw)
        return loaded


def _undecoded(feature: Feature) -> Feature:
    """Returns a feature that yields the bytes of media instead of decoding them."""

    if isinstance(feature, dict):
        named = {name: _undecoded(item) for name, item in feature.items()}
        return feature if all(named[name] is item for name, item in feature.items()) else named
    if isinstance(feature, list):
        inner = [_undecoded(item) for item in feature]
        return feature if all(map(operator.is_, inner, feature)) else inner
    if getattr(feature, "decode", False):
        return dataclasses.replace(feature, decode=False)
    if (held := getattr(feature, "feature", None)) is not None:
        raw = _undecoded(held)
        return feature if raw is held else dataclasses.replace(feature, feature=raw)
    return feature
