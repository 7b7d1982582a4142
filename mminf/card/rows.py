"""Reads some rows of a dataset, from all over it: their texts, and how they name images."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mminf.card.datasets import Dataset
from mminf.image import local_path

SAMPLE = 500
"""Number of rows that are read."""
_FILES = 10
"""Number of files that they are read from."""
IMAGES = ("images", "image", "rejected_images")
"""Columns with images."""
_CHATS = ("messages", "conversations")
_NOT_TEXTS = frozenset({"id", "instruction", *IMAGES})
_USERS = frozenset({"user", "human"})
_LONGEST, _SMALL = 1 << 24, 1 << 22
"""Bytes of the longest row that is read, and of the largest file of which all rows are read."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is known about a row.

    Attributes:
        user: texts of the user, or instructions.
        assistant: texts of the assistant, or responses; texts of other columns if the row has no conversation.
        images: URIs of its images; without those that are embedded.
        has_images: whether it has images, embedded ones included.
    """

    user: tuple[str, ...]
    assistant: tuple[str, ...]
    images: tuple[str, ...]
    has_images: bool

    @property
    def local_images(self) -> tuple[str, ...]:
        """Paths of images on this machine."""
        return tuple(uri for uri in self.images if local_path(uri) is not None)


def sample_rows(folder: Path, dataset: Dataset, number: int = SAMPLE) -> list[Row]:
    """Returns up to `number` rows of a dataset, evenly spaced if its format allows it.

    Args:
        folder: folder of the datasets.
    """
    names = [name for name in dataset.files if Path(name).suffix.lstrip(".") == dataset.format or not dataset.is_folder]
    chosen = names[:: max(1, len(names) // _FILES)][:_FILES]
    rows: list[Row] = []
    for name in chosen:
        rows += [_read(row) for row in _rows(folder / name, dataset.format, max(1, number // len(chosen)))]
    return rows


def _rows(path: Path, kind: str | None, number: int) -> Iterable[Mapping[str, Any]]:
    if kind in ("jsonl", "json"):
        return _from_lines(path, number)
    if kind == "parquet":
        return _from_parquet(path, number)
    return _from_tar(path, number) if kind == "tar" else ()


def _from_lines(path: Path, number: int) -> Iterator[Mapping[str, Any]]:
    """Yields equally distant rows of a small file, or rows after equally distant positions of a large one."""
    with path.open("rb") as file:
        if (size := path.stat().st_size) <= _SMALL:
            lines = file.readlines()
            lines = lines[:: max(1, len(lines) // number)]
        else:
            lines = [_line_after(file, size * place // number) for place in range(number)]
    for line in lines:
        try:
            row = json.loads(line.strip().strip(b","))
        except (ValueError, RecursionError):
            continue  # a bracket of an array, the end of the file, or a very long row
        if isinstance(row, dict):
            yield row


def _line_after(file: IO[bytes], position: int) -> bytes:
    file.seek(max(0, position - 1))
    if position:
        file.readline(_LONGEST)  # the rest of the row that contains the position
    return file.readline(_LONGEST)


def _from_parquet(path: Path, number: int) -> Iterator[Mapping[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            heavy = [name for name in IMAGES if name in file.schema_arrow.names]
            embedded = [name for name in heavy if not _is_text(file.schema_arrow.field(name).type)]
            columns = [name for name in file.schema_arrow.names if name not in embedded]
            batch = next(file.iter_batches(batch_size=number, columns=columns), None)
            for row in batch.to_pylist() if batch is not None else ():
                yield {**row, **{name: [{}] for name in embedded}}
    except (pyarrow.ArrowException, OSError):
        return


def _is_text(kind: Any) -> bool:
    import pyarrow.types

    return bool(pyarrow.types.is_string(kind.value_type if pyarrow.types.is_list(kind) else kind))


def _from_tar(path: Path, number: int) -> Iterator[Mapping[str, Any]]:
    """Yields the rows of a shard of WebDataset; images are after the JSON of their row."""
    row: dict[str, Any] | None = None
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                if not member.name.endswith(".json"):
                    if row is not None:
                        row["images"] = [{}]
                    continue
                if row is not None:
                    yield row
                    number -= 1
                row = None
                if number <= 0:
                    return
                content = tar.extractfile(member)
                row = {**json.loads(content.read()), "images": []} if content is not None else None
            if row is not None:
                yield row
    except (tarfile.TarError, OSError, ValueError):
        return


def _read(row: Mapping[str, Any]) -> Row:
    items = [item for name in IMAGES if row.get(name) for item in _as_list(row[name])]
    chat = next((row[name] for name in _CHATS if isinstance(row.get(name), list)), None)
    user, assistant = _columns(row) if chat is None else _said(chat)
    uris = tuple(item for item in items if isinstance(item, str))
    return Row(tuple(map(_bare, user)), tuple(map(_bare, assistant)), uris, bool(items))


def _said(chat: Iterable[object]) -> tuple[list[str], list[str]]:
    """Returns the texts of the user and of the assistant in a conversation of either format."""
    said: dict[bool, list[str]] = {True: [], False: []}
    for turn in chat:
        if isinstance(turn, Mapping):
            role, text = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
            if isinstance(role, str) and isinstance(text, str) and role != "system":
                said[role in _USERS].append(text)
    return said[True], said[False]


def _columns(row: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Returns the instruction and the response of a row without a conversation, or its longest text."""
    user, assistant = row.get("instruction"), row.get("response")
    said = [assistant] if isinstance(assistant, str) else _longest(row)
    return [user] if isinstance(user, str) else [], said


def _longest(row: Mapping[str, Any]) -> list[str]:
    texts = [value for name, value in row.items() if isinstance(value, str) and name not in _NOT_TEXTS]
    return [max(texts, key=len)] if texts else []


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _bare(text: str) -> str:
    return text.replace("<image>", "").strip()
