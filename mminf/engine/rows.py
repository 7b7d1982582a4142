"""Reads written datasets with Hugging Face's library."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mminf.errors import OutputError

if TYPE_CHECKING:
    from datasets import Dataset

_LOADERS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv"}


def read_rows(path: Path) -> Dataset:
    """Returns a dataset of one file, or of a folder of files, as a dataset of Hugging Face.

    Raises:
        OutputError: if it does not exist, has no rows, or is in another format.
    """
    import datasets

    if not path.exists():
        raise OutputError(f"{path} does not exist any more")
    found = sorted(item for item in path.iterdir() if item.suffix in _LOADERS) if path.is_dir() else [path]
    files = [str(item) for item in found if item.name != "manifest.json"]
    loaders = {_LOADERS[item.suffix] for item in map(Path, files) if item.suffix in _LOADERS}
    if len(loaders) != 1:
        raise OutputError(f"{path} is not a dataset of rows in JSON, Parquet or CSV")
    if all(Path(file).stat().st_size == 0 for file in files):
        raise OutputError(f"{path} has no rows")
    try:
        loaded: Dataset = datasets.load_dataset(loaders.pop(), data_files=files, split="train")
    except Exception as error:  # the library raises exceptions of several kinds
        raise OutputError(f"{path} can't be read by `datasets`: {error}") from error
    return loaded
