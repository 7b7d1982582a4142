"""Reads a dataset: a file, or a folder of files."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from mminf.errors import SourceError
from mminf.properties.rows import BrokenRow, Conversation, read_conversation
from mminf.source.raw import raw_rows

_ENDINGS = (".jsonl", ".ndjson", ".json", ".parquet", ".csv", ".tsv")
_FIRST = 100
_NO_ROWS = ("manifest.json", "dataset_info.json", "dataset_dict.json", "state.json")


def list_dataset(path: Path) -> list[Path]:
    """Returns the files of a dataset in name order.

    Raises:
        SourceError: if there are none.
    """
    if not path.exists():
        raise SourceError(f"{path}: no such file or folder")
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if _has_rows(file))
    if not files:
        raise SourceError(f"{path} contains no datasets: files that end in {', '.join(_ENDINGS)}, each also with .gz")
    return files


def _has_rows(file: Path) -> bool:
    name = file.name.lower()
    hidden = name.startswith(".") or name in _NO_ROWS
    return not hidden and name.removesuffix(".gz").endswith(_ENDINGS) and file.is_file()


class Dataset:
    """The rows of a dataset; may be iterated over again.

    Attributes:
        path: a file or folder.
        files: its files.
        folder: folder that relative image paths start from.

    Raises:
        SourceError: if there is no such file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = list_dataset(path)
        self.folder = self.files[0].parent

    def check(self) -> None:
        """Checks the first rows.

        Raises:
            SourceError: if there are no rows, or none of the first ones is a conversation.
        """
        rows = list(itertools.islice(self, _FIRST))
        if not rows:
            raise SourceError(f"{self.path} contains no rows")
        if all(isinstance(row, BrokenRow) for row in rows):
            assert isinstance(rows[0], BrokenRow)
            which = f"the first {len(rows)} rows" if len(rows) == _FIRST else "the rows"
            raise SourceError(f"{self.path}: none of {which} is a conversation: {rows[0].where}: {rows[0].reason}")

    def __iter__(self) -> Iterator[Conversation | BrokenRow]:
        for file in self.files:
            for where, row in raw_rows(file):
                if isinstance(row, str):
                    yield BrokenRow(where, row)
                    continue
                try:
                    yield read_conversation(row, where)
                except ValueError as error:
                    yield BrokenRow(where, str(error))
