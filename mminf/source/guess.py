"""Which source an `--input` means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mminf.errors import SourceError
from mminf.storage import is_remote, reaching, to_path

_SHARDS = (".jsonl", ".parquet", ".tar")
_BY_SUFFIX = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".gz": "jsonl",
    ".txt": "text",
    ".tar": "webdataset",
    ".tgz": "webdataset",
}


def guess_source(given: str) -> dict[str, Any]:
    """Returns a recipe's `source` for a path.

    Raises:
        SourceError: if nothing is there, or its kind can't be told.
    """
    path = to_path(given)
    path = path if is_remote(path) else path.resolve()
    with reaching(path):
        return _guess(given, path)


def _guess(given: str, path: Path) -> dict[str, Any]:
    pattern = any(mark in path.name for mark in "*?[")
    if not pattern and not path.exists():
        raise SourceError(f"--input {given}: nothing is there")
    if not pattern and path.is_dir():
        names = {item.name for item in path.iterdir()}
        if names & {"dataset_info.json", "dataset_dict.json"}:
            return {"dataset": {"path": str(path)}}
        kinds = {_BY_SUFFIX[suffix] for suffix in _SHARDS if any(name.endswith(suffix) for name in names)}
        if len(kinds) == 1:
            return {kinds.pop(): {"path": str(path)}}
        return {"images": {"path": str(path)}}
    from mminf.image import SUFFIXES

    if path.suffix.lower() in SUFFIXES:
        return {"images": {"path": str(path)}}
    kind = "webdataset" if path.name.endswith(".tar.gz") else _BY_SUFFIX.get(path.suffix.lower())
    if kind is None:
        raise SourceError(
            f"--input {given}: can't tell what it is by its ending {path.suffix!r}; "
            f"known: folders of images, {', '.join(sorted(_BY_SUFFIX))}, datasets saved to disk, and patterns of those"
        )
    return {kind: {"path": str(path)}}
