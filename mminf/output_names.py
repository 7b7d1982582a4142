"""Names in a run's output folder: the names that are reserved for the run, and the names that a dataset can have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

OWN_FOLDERS = frozenset({"images", "parts"})
"""Images that were embedded in rows, and the journals of shards."""
CARD, RESOLVED = "README.md", "recipe.resolved.yaml"
OWN_FILES = re.compile(
    r"journal\..*|run\.log(\..*)?|report\.html|marks\.jsonl|readme\.md|recipe\.resolved\.yaml", re.DOTALL
)
"""The journal, its lock, and the files that SQLite writes next to it; the log of the run; the page about it; marks; the
files that `mminf card` writes."""
LONGEST_NAME, LONGEST_PATH = 200, 1000
"""Maximum lengths in bytes. File systems allow 255 per name; the name of an unfinished file is longer."""


def check_dataset_path(text: str) -> str:
    """Returns the path of a dataset below the output folder, with single slashes.

    Raises:
        ValueError: if it is not a valid path of a dataset.
    """
    if "://" in text:
        raise ValueError(f"{text[:80]!r} is a URI; give a path below the output folder (`--output` may be a URI)")
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
        raise ValueError(f"{text[:80]!r} begins with a dot; such names are reserved for unfinished files")
    first = path.parts[0].casefold()
    if first in OWN_FOLDERS or OWN_FILES.fullmatch(first):
        raise ValueError(f"{text[:80]!r}: the name {path.parts[0]!r} is reserved for the run; choose another")
    return str(path)


def part_path(path: Path, part: str) -> Path:
    """Returns the path of a part of a dataset: `oasis.jsonl` becomes `oasis.train.jsonl`."""
    return path.with_name(f"{path.stem}.{part}{path.suffix}")


def conflicts(paths: Sequence[Path]) -> Iterator[tuple[int, str]]:
    """Yields the index and the problem of each path that equals, contains or is contained in an earlier path.

    The paths next to a dataset count as well: copies of its images, and a dataset that does not replace it.
    """
    for number, path in enumerate(paths):
        for other in paths[:number]:
            if path == other:
                yield number, f"two sinks write {str(path)!r}"
            elif path in other.parents or other in path.parents:
                yield number, f"{str(path)!r} and {str(other)!r} can't both be written: one is inside the other"
            elif _needs(path, other) or _needs(other, path):
                yield number, f"{str(path)!r} and {str(other)!r} can't both be written: one needs the other's path"


def _needs(path: Path, other: Path) -> bool:
    """Returns whether another dataset is at a path that may be written next to this one."""
    return any(name == other or name in other.parents for name in beside(path))


def beside(path: Path) -> tuple[Path, Path]:
    """Returns the paths that may be written next to a dataset: copies of its images, and a smaller dataset."""
    return path.with_name(f"{path.name}.images"), path.with_name(f"new-{path.name}")
