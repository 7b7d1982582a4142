"""`webdataset`: tar shards with each record's fields and images.

Format: webdataset documentation, "The WebDataset Format".
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

from pydantic import Field

from mminf.image import image_ending
from mminf.recipe.config import Names, SinkConfig
from mminf.record import Record
from mminf.sink.base import Assets, Sink, sink
from mminf.template import images_in

ROWS = 5000


class WebDatasetConfig(SinkConfig):
    columns: Names = Field(default_factory=list, description="Fields to write; all fields by default.")
    rows_per_file: int = Field(ROWS, ge=1, description="Maximum number of records per shard.")


@sink("webdataset")
class WebDatasetSink(Sink):
    """A folder of tar shards with `<number>.json` (id and fields) and the image `<number>.jpg` of each record.

    The ending depends on the image's format. Further images are `<number>.1.jpg`, and so on. Images are not re-encoded.
    """

    config: WebDatasetConfig
    Config = WebDatasetConfig
    ending = "tar"
    opens_images = True

    def __init__(self, config: WebDatasetConfig, output: Path) -> None:
        super().__init__(config, output)
        self._assets: Assets | None = None

    @property
    def selects(self) -> frozenset[str]:
        return frozenset(self.config.columns)

    def attach(self, assets: Assets) -> None:
        self._assets = assets

    def row(self, record: Record) -> dict[str, object]:
        names = self.config.columns or list(record.fields)
        fields = {name: record.fields[name] for name in names if name in record.fields}
        images = [self._assets.image(uri) for uri in images_in(record.fields)] if self._assets is not None else []
        return {"json": {**fields, "id": record.id}, "images": images}

    def write_file(self, file: IO[bytes], rows: Iterable[Mapping[str, object]], first: int) -> None:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for number, row in enumerate(rows, first):
                key = f"{number:09}"
                text = json.dumps(row["json"], ensure_ascii=False).encode("utf-8", "replace")
                _add(tar, f"{key}.json", text)
                images = row["images"]
                assert isinstance(images, list)
                for place, image in enumerate(images):
                    which = f".{place}" if place else ""
                    _add(tar, f"{key}{which}.{image_ending(image)}", image)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # without time and owner, so that the same records give the same bytes
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
