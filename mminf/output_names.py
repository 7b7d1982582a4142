"""Names in a run's output folder: which ones are the run's own, and which ones a dataset can have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

OWN_FOLDERS = frozenset({"images", "parts"})
"""Images that came embedded in rows, and the journals of shards."""
JOURNAL = re.compile(r"journal\..*", re.DOTALL)
"""The journal, its lock, and what SQLite puts beside it."""
LONGEST_NAME, LONGEST_PATH = 200, 1000
"""Bytes; file systems take 255 a name, of which the name of an unfinished file needs some."""


def check_dataset_path(text: str) -> str:
    """Returns the path of a dataset below the output folder, with single slashes.

    Raises:
        ValueError: if it can't be one, saying why.
    """
    if "://" in text:
        raise ValueError(f"{text[:80]!r} is a URI; datasets lie below the output folder, and `--output` may be a URI")
    if not text.isprintable():
        raise ValueError(f"{text[:80]!r} has a control character")
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or text.startswith("~"):
        raise ValueError(f"{text[:80]!r} is not below the output folder")
    if not path.parts:
        raise ValueError(f"{text[:80]!r} is the output folder itself; name a file or folder in it")
    if len(str(path).encode()) > LONGEST_PATH or any(len(part.encode()) > LONGEST_NAME for part in path.parts):
        raise ValueError(f"{text[:80]!r}... is too long for a file name")
    if any(part.startswith(".") for part in path.parts):
        raise ValueError(f"{text[:80]!r} begins with a dot; such names are for unfinished files")
    first = path.parts[0].casefold()
    if first in OWN_FOLDERS or JOURNAL.fullmatch(first):
        raise ValueError(f"{text[:80]!r}: the name {path.parts[0]!r} belongs to the run itself; choose another")
    return str(path)


def conflicts(paths: Sequence[Path]) -> Iterator[tuple[int, str]]:
    """Yields the number of each path that is an earlier one, or lies in one or around one, and what is wrong.

    What is written beside a dataset counts as well: copies of its images, and what does not replace it.
    """
    for number, path in enumerate(paths):
        for other in paths[:number]:
            if path == other:
                yield number, f"two sinks write {str(path)!r}"
            elif path in other.parents or other in path.parents:
                yield number, f"{str(path)!r} and {str(other)!r} can't both be written: one lies in the other"
            elif _needs(path, other) or _needs(other, path):
                yield number, f"{str(path)!r} and {str(other)!r} can't both be written: one needs the other's name"


def _needs(path: Path, other: Path) -> bool:
    """Tells whether another dataset lies where something may be written beside this one."""
    return any(name == other or name in other.parents for name in beside(path))


def beside(path: Path) -> tuple[Path, Path]:
    """Returns what may be written beside a dataset: copies of its images, and what does not replace it."""
    return path.with_name(f"{path.name}.images"), path.with_name(f"new-{path.name}")
