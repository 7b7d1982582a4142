"""Detects the type of source of an `--input` path."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from mminf.errors import SourceError
from mminf.image import SUFFIXES
from mminf.source.formats import Kind, find_kind
from mminf.source.rows import split_of
from mminf.storage import is_pattern, is_remote, reaching, to_path

log = logging.getLogger("mminf")
_ROWS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
_BY_ENDING = {**_ROWS, ".txt": "text", ".tar": "webdataset", ".tgz": "webdataset"}
_BY_KIND: dict[Kind, str] = {
    "lines": "jsonl",
    "array": "json",
    "csv": "csv",
    "tsv": "csv",
    "parquet": "parquet",
    "tar": "webdataset",
    "image": "images",
}
_FOLDER = ("jsonl", "parquet", "webdataset")
"""Types of files that make a folder a dataset, even if it contains other files."""
_META = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
"""Files that describe the images of a folder, as in Hugging Face's `imagefolder`."""
DEPTH, ENTRIES = 3, 20_000
"""Maximum depth, and maximum number of entries, of the search in a folder."""


def guess_source(given: str) -> dict[str, dict[str, str]]:
    """Returns a recipe's `source` for a path. An existing path has precedence over a pattern.

    Raises:
        SourceError: if the path does not exist, or its type is unknown or ambiguous.
    """
    path = to_path(given)
    path = path if is_remote(path) else path.resolve()
    with reaching(path):
        if is_pattern(path):
            return _pattern(given, path)
        if not path.exists():
            raise SourceError(f"--input {given}: no such file or folder")
        return _folder(given, path) if path.is_dir() else _file(given, path)


def _source(kind: str, path: Path, **settings: str) -> dict[str, dict[str, str]]:
    return {kind: {"path": str(path), **settings}}


def _pattern(given: str, path: Path) -> dict[str, dict[str, str]]:
    kind = _by_ending(path)
    if kind is None and path.suffix.lower() in SUFFIXES:
        kind = "images"
    if kind is None:
        raise SourceError(
            f"--input {given}: unknown ending {path.suffix!r}; known: {', '.join(sorted(_BY_ENDING))} (each also with "
            ".gz), and those of images"
        )
    return _source(kind, path)


def _by_ending(path: Path) -> str | None:
    name = path.name.lower()
    if name.endswith((".tar.gz", ".tgz")):
        return "webdataset"
    ending = Path(name.removesuffix(".gz")).suffix
    found = _BY_ENDING.get(ending)
    return "jsonl" if found is None and name.endswith(".gz") else found


def _file(given: str, path: Path) -> dict[str, dict[str, str]]:
    if is_remote(path):  # not opened here: its ending or its source decides
        return _pattern(given, path)
    if path.suffix.lower() in SUFFIXES:
        return _source("images", path)
    kind = find_kind(path)
    by_ending = _by_ending(path)
    if kind in ("text", "empty"):
        if by_ending is None:
            what = "empty" if kind == "empty" else "plain text"
            raise SourceError(
                f"--input {given}: unknown ending {path.suffix!r}, and the file is {what}; name it .txt for one record "
                "per line, or .csv, .tsv, .jsonl, .json"
            )
        return _source(by_ending, path)
    return _source(_BY_KIND[kind], path)


def _folder(given: str, path: Path) -> dict[str, dict[str, str]]:
    names = sorted(item.name for item in path.iterdir())
    if {"dataset_info.json", "dataset_dict.json"} & set(names):
        return _source("dataset", path)
    for name in _META:
        if name in names:
            return _source(_ROWS[Path(name).suffix], path / name)
    kinds = {kind for name in names if (kind := _by_ending(Path(name))) in _FOLDER}
    if len(kinds) == 1:
        kind = str(kinds.pop())
        if others := [name for name in names if _by_ending(Path(name)) not in (kind, None, "text", "json")]:
            more = f" and {len(others) - 1} more" if len(others) > 1 else ""
            log.warning("--input %s: only its %s files are read, not %s%s", given, kind, others[0], more)
        return _source(kind, path)
    if is_remote(path):
        return _source("images", path)
    return _look_through(given, path)


def _look_through(given: str, path: Path) -> dict[str, dict[str, str]]:
    """Decides by all files in a folder: images, or rows in a subfolder, as in a snapshot of the Hugging Face hub."""
    has_images, rows = _sort_files(path)
    meta = [file for files in rows.values() for file in files if file.name in _META]
    if len(meta) == 1:
        return _source(_ROWS[meta[0].suffix], meta[0])
    if meta:
        raise SourceError(f"--input {given}: it contains several image folders, {_named(path, meta)}; give one of them")
    if not rows or (has_images and not _is_snapshot(rows)):
        return _source("images", path)
    kind, files = _one_kind(given, path, rows)
    folder = _one_folder(given, path, files)
    split = _one_split(given, kind, files)
    return _source(kind, folder) if split is None else _source(kind, folder, split=split)


def _sort_files(path: Path) -> tuple[bool, dict[str, list[Path]]]:
    """Returns whether a folder contains images, and its files with rows by type."""
    has_images, rows = False, dict[str, list[Path]]()
    for file in _walk(path):
        if file.suffix.lower() in SUFFIXES:
            has_images = True
        elif (kind := _by_ending(file)) is not None and kind != "text":
            rows.setdefault(kind, []).append(file)
    return has_images, rows


def _is_snapshot(rows: Mapping[str, list[Path]]) -> bool:
    """Returns whether the files with rows are arranged and named as in a dataset of the Hugging Face hub."""
    files = (file for kind in _FOLDER for file in rows.get(kind, ()))
    return any(file.parent.name == "data" or split_of(file) for file in files)


def _one_kind(given: str, path: Path, rows: dict[str, list[Path]]) -> tuple[str, list[Path]]:
    """Returns the type of a folder's rows, and their files. Raises SourceError if there are several types."""
    strong = {kind: files for kind, files in rows.items() if kind in _FOLDER} or rows
    if len(strong) > 1:
        found = "; ".join(f"{kind}: {_named(path, files)}" for kind, files in sorted(strong.items()))
        raise SourceError(f"--input {given}: it contains rows of several types ({found}); give one file or folder")
    return next(iter(strong.items()))


def _one_folder(given: str, path: Path, files: list[Path]) -> Path:
    """Returns the folder that contains all files. Raises SourceError if there are several."""
    first, *others = sorted({file.parent for file in files})
    if others:
        raise SourceError(
            f"--input {given}: it contains rows in several folders, {_named(path, [first, *others])}; give one of them"
        )
    return first


def _one_split(given: str, kind: str, files: list[Path]) -> str | None:
    """Returns the split to read if the files have several splits, or None to read all files."""
    splits = sorted({split for file in files if (split := split_of(file)) is not None})
    if len(splits) < 2:
        return None
    chosen = "train" if "train" in splits else splits[0]
    others = ", ".join(split for split in splits if split != chosen)
    log.warning("%s: reading split %s, not %s (`--set source.%s.split=...`)", given, chosen, others, kind)
    return chosen


def _walk(root: Path) -> Iterator[Path]:
    left = ENTRIES
    for folder, folders, files in os.walk(root):
        depth = len(Path(folder).relative_to(root).parts)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if depth < DEPTH else []
        for name in sorted(files):
            left -= 1
            if left < 0:
                return
            if not name.startswith("."):
                yield Path(folder) / name


def _named(root: Path, paths: list[Path]) -> str:
    shown = ", ".join(str(path.relative_to(root)) for path in paths[:4])
    return f"{shown}, ..." if len(paths) > 4 else shown
