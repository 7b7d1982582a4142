"""Which source an `--input` means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mminf.errors import SourceError

_BY_SUFFIX = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".gz": "jsonl",
    ".txt": "text",
}


def guess_source(given: str) -> dict[str, Any]:
    """Returns a recipe's `source` for a path.

    Raises:
        SourceError: if nothing is there, or its kind can't be told.
    """
    path = Path(given).expanduser().resolve()
    if not path.exists():
        raise SourceError(f"--input {given}: nothing is there")
    if path.is_dir():
        if (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file():
            return {"dataset": {"path": str(path)}}
        kinds = {_BY_SUFFIX[item.suffix] for item in path.iterdir() if item.suffix in (".jsonl", ".parquet")}
        if len(kinds) == 1:
            return {kinds.pop(): {"path": str(path)}}
        return {"images": {"path": str(path)}}
    from mminf.image import SUFFIXES

    if path.suffix.lower() in SUFFIXES:
        return {"images": {"path": str(path)}}
    kind = _BY_SUFFIX.get(path.suffix.lower())
    if kind is None:
        raise SourceError(
            f"--input {given}: can't tell what it is by its ending {path.suffix!r}; "
            f"known: folders of images, {', '.join(sorted(_BY_SUFFIX))}, datasets saved to disk"
        )
    return {kind: {"path": str(path)}}
