"""Local files, and objects at URIs (`s3://`, `hf://`, `memory://`, ...), by fsspec.

Docs: fsspec, "API Reference"; universal_pathlib, whose `UPath` has pathlib's interface over fsspec.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, cast

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from mminf.errors import MminfError, SourceError, UsageError
from mminf.record import digest

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem
    from upath import UPath

PROTOCOLS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "hf", "memory", "file", "http", "https", "oss", "hdfs", "webhdfs")
_EXTRAS = {"s3": "mminf[s3]", "s3a": "mminf[s3]", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "oss": "ossfs"}
_CHANGING = ("ETag", "etag", "LastModified", "mtime", "created", "last_commit", "blob_id")


def is_uri(text: str) -> bool:
    """Returns whether a text is a URI of an object, not a local path."""
    return "://" in text and not text.startswith(("file://", "data:"))


def to_path(text: str | os.PathLike[str], base: Path | None = None) -> Path:
    """Returns a path for a local path or a URI; a `UPath` has the interface of `Path`, and is typed as one.

    Args:
        base: folder that relative paths start from.

    Raises:
        UsageError: if the URI's scheme is unknown, or what reads it is not installed.
    """
    if isinstance(text, str) and "\0" in text:
        raise UsageError(f"{text!r:.120}: a path has no NUL character")
    if not isinstance(text, str):
        return cast("Path", text) if base is None or is_remote(text) else base / text
    if not is_uri(text):
        plain = Path(text.removeprefix("file://")).expanduser()
        return plain if base is None else base / plain
    scheme = _check_uri(text)
    from upath import UPath

    try:
        found = UPath(text)
        _ = found.fs  # imports the package of the scheme
    except ImportError as error:
        hint = _EXTRAS.get(scheme, f"the package that fsspec needs for {scheme}")
        raise UsageError(f"{text}: {error}; install it with `pip install '{hint}'`") from error
    return cast("Path", found)


def _check_uri(text: str) -> str:
    """Returns the scheme of a URI. Raises UsageError if it is unknown, or the URI has a secret or names nothing."""
    scheme, _, rest = text.partition("://")
    if "@" in rest.partition("/")[0] or (scheme in ("http", "https") and "?" in rest):
        raise UsageError(
            f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}: an address must not contain a password or a "
            "query, because "
            "recipes are stored in journals; configure keys as for the store's own tools"
        )
    if scheme not in PROTOCOLS or "::" in text:
        raise UsageError(f"{text}: scheme {scheme!r} is not one of {', '.join(PROTOCOLS)}")
    if not rest.strip("/") or (rest.startswith("/") and scheme not in ("memory", "file")):
        raise UsageError(f"{text}: the URI names no bucket, host or folder")
    return scheme


def _check_location(value: object) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise ValueError(f"{value!r} is neither a path nor a URI")
    if not isinstance(value, str) or not is_uri(value):
        return Path(value)
    try:
        return to_path(value)
    except UsageError as error:
        raise ValueError(str(error)) from error


Location = Annotated[
    Path, PlainValidator(_check_location), PlainSerializer(str), WithJsonSchema({"type": "string", "format": "path"})
]
"""A local path, or a URI that fsspec supports: a `Path` or a `UPath`."""


def is_remote(path: object) -> bool:
    """Returns whether a path is the path of a URI."""
    return not isinstance(path, Path)


def as_remote(path: Path) -> UPath:
    """Casts the path of a URI to its type, UPath."""
    return cast("UPath", path)


@contextlib.contextmanager
def reaching(path: Path) -> Iterator[None]:
    """Converts errors of a store's client to SourceError; those of botocore and httpx are not OSErrors."""
    try:
        yield
    except MminfError:
        raise
    except Exception as error:
        if not is_remote(path) and not isinstance(error, OSError):
            raise
        raise SourceError(f"{path} can't be reached: {type(error).__name__}: {error}") from error


def object_info(uri: str) -> dict[str, object]:
    """Returns the size of an object, and values that change with its content. Raises OSError."""
    found = as_remote(to_path(uri))
    info: dict[str, object] = found.fs.info(found.path)
    return info


def info_token(info: dict[str, object]) -> int:
    """Returns a number that changes with an object's content, if its store provides such a value."""
    said = [str(info.get(name, "")) for name in _CHANGING]
    return int.from_bytes(hashlib.blake2b("|".join(said).encode(), digest_size=7).digest(), "big")


def read_object(uri: str, most: int) -> bytes:
    """Returns up to `most` bytes of an object. Raises OSError."""
    found = as_remote(to_path(uri))
    try:
        data: bytes = found.fs.cat_file(found.path, start=0, end=most)
    except OSError:
        if found.fs.info(found.path).get("size") != 0:
            raise
        return b""  # S3 has no ranges of empty objects
    return data


def is_pattern(path: Path) -> bool:
    """Returns whether a path is a pattern (`shards/*.tar`): a file or folder with exactly this name is not."""
    if not any(mark in path.name for mark in "*?["):
        return False
    try:
        return not path.exists()
    except (OSError, ValueError):
        return True


def list_files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Returns the files of a folder with one of the suffixes, or those that match a pattern (`shards/*.tar`), by name.

    If the path is a file, the list contains only this file.

    Raises:
        SourceError: if there are none.
    """
    if not is_pattern(folder) and folder.is_file():
        return [folder]
    found = _files_in(folder, suffixes)
    if not found:
        raise SourceError(f"no {' or '.join(suffixes)} files in {folder}{_what_is_there(folder)}")
    return sorted(found, key=lambda path: (str(path.parent), path.name))


def _files_in(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    def fitting(paths: Iterable[Path]) -> list[Path]:
        return [path for path in paths if path.name.lower().endswith(suffixes)]

    if is_pattern(folder):
        return fitting(folder.parent.glob(folder.name))
    if is_remote(folder):
        return fitting(_objects_in(folder))
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a regular file or a folder")
    found = [path for path in fitting(folder.iterdir()) if path.is_file()]
    # As in repositories of datasets: `data/train-00000-of-00002.parquet`.
    return found or [path for path in fitting(folder.glob("*/*")) if path.is_file()]


def _objects_in(folder: Path) -> Iterator[Path]:
    store = as_remote(folder)
    for item in store.fs.ls(store.path, detail=True):
        if item["type"] == "file":
            yield folder / item["name"].rpartition("/")[2]


def _what_is_there(folder: Path) -> str:
    """Returns the names in a folder, for an error."""
    if is_remote(folder) or is_pattern(folder) or not folder.is_dir():
        return ""
    names = sorted(path.name for path in folder.iterdir())
    if not names:
        return ", which is empty"
    return f", which has {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}"


def fingerprint_files(files: list[Path]) -> str:
    """Returns a digest of names, sizes and modification times; one request per file in a store."""
    said = []
    for file in files:
        if is_remote(file):
            info = object_info(str(file))
            said.append([file.name, info.get("size"), info_token(info)])
        else:
            found = file.stat()
            said.append([file.name, found.st_size, found.st_mtime_ns])
    return digest(said)


def walk(root: Path) -> Iterator[tuple[str, Path]]:
    """Yields name below the root and path of every object under a URI, in name order; one listing per folder."""
    store = as_remote(root)
    yield from _walk(store.fs, store.path.rstrip("/"), "", root)


def _walk(fs: AbstractFileSystem, folder: str, prefix: str, root: Path) -> Iterator[tuple[str, Path]]:
    listed = [(item["name"].rstrip("/"), item["type"]) for item in fs.ls(folder, detail=True)]
    fs.invalidate_cache(folder)  # otherwise every listing stays in memory
    for path, kind in sorted(listed):
        name = path.rpartition("/")[2]
        if path == folder or name.startswith("."):
            continue
        if kind == "directory":
            yield from _walk(fs, f"{folder}/{name}", f"{prefix}{name}/", root)
        else:
            yield f"{prefix}{name}", root / f"{prefix}{name}"


def send_file(file: Path, path: Path) -> None:
    """Sends a local file to a URI. Stores replace objects atomically."""
    store = as_remote(path)
    store.parent.mkdir(parents=True, exist_ok=True)
    store.fs.put_file(str(file), store.path)


def fetch_file(path: Path, file: Path) -> None:
    """Downloads an object to a local file. Raises OSError."""
    store = as_remote(path)
    store.fs.get_file(store.path, str(file))


def open_bytes(path: Path) -> IO[bytes]:
    """Opens a file or an object for reading."""
    return cast("IO[bytes]", path.open("rb"))
