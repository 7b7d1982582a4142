"""Finds the image files in a folder, and counts the files that are left out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mminf.errors import SourceError, reason_of
from mminf.image import HEIF_HINT, HEIF_SUFFIXES, SUFFIXES

_SHOWN = 6  # maximum number of endings or names in a message


def suffix_of(name: str) -> str:
    """Returns a file name's ending, in lower case."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 (a Path per file is slow)


@dataclass(slots=True)
class LeftOut:
    """Files and folders that are not read, other than hidden ones.

    Attributes:
        files: number of files by ending.
        links: links to folders outside of the source that `allow_paths` does not contain.
        unreadable: folders that can't be read.
    """

    files: Counter[str] = field(default_factory=Counter)
    links: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.files or self.links or self.unreadable)

    def __str__(self) -> str:
        parts = []
        if total := sum(self.files.values()):
            kinds = [_show_kind(suffix, number) for suffix, number in self.files.most_common(_SHOWN)]
            if len(self.files) > _SHOWN:
                kinds.append("others")
            parts.append(f"{total:,} file{'s' if total > 1 else ''}: {', '.join(kinds)}")
        if self.links:
            parts.append(f"{_show_folders('linked folder', self.links)} (add the target to `allow_paths`)")
        if self.unreadable:
            parts.append(f"{_show_folders('unreadable folder', self.unreadable)}")
        return f"left out {'; '.join(parts)}" if parts else ""


class ImageWalk:
    """Yields the image files at and below a path in name order; hidden files and folders are left out.

    Links to files are yielded; the image policy decides whether they may point outside of the folder. A link to a
    folder is followed if its target is in an allowed root and is not part of the walk already. Each target is read
    once.

    Args:
        root: absolute, without links.
        roots: folders that links to folders may point into; None: any.
    """

    def __init__(self, root: Path, roots: tuple[Path, ...] | None) -> None:
        self.root = root
        self.left = LeftOut()
        self._roots = roots
        self._entered: set[str] = set()

    def __iter__(self) -> Iterator[Path]:
        if not self.root.is_file():
            yield from self._walk(str(self.root), (os.path.realpath(self.root),))
        elif self.root.suffix.lower() in SUFFIXES:
            yield self.root

    def _walk(self, folder: str, above: tuple[str, ...]) -> Iterator[Path]:
        """Yields the images of a folder; `above` has the real paths of the folder and its parents in the walk."""
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            if len(above) == 1:
                raise SourceError(f"folder {folder} can't be read: {reason_of(error)}") from error
            self.left.unreadable.append(self._name(folder))
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                real = f"{above[-1].rstrip('/')}/{entry.name}" if not entry.is_symlink() else self._follow(entry)
                if real is not None and real not in above:
                    yield from self._walk(entry.path, (*above, real))
            elif suffix_of(entry.name) in SUFFIXES:
                yield Path(entry.path)
            else:
                self.left.files[suffix_of(entry.name)] += 1

    def _follow(self, link: os.DirEntry[str]) -> str | None:
        """Returns the real path of a linked folder, or None if the link is not followed."""
        real = os.path.realpath(link.path)
        if self._roots is not None and not any(Path(real).is_relative_to(root) for root in self._roots):
            self.left.links.append(self._name(link.path))
            return None
        if self._reads(real):
            return None
        if real in self._entered:
            return None
        self._entered.add(real)
        return real

    def _reads(self, real: str) -> bool:
        """Returns whether the walk reads a folder without following a link."""
        root = Path(os.path.realpath(self.root))
        inside = Path(real).relative_to(root).parts if Path(real).is_relative_to(root) else (".",)
        return not any(part.startswith(".") for part in inside)

    def _name(self, folder: str) -> str:
        return os.path.relpath(folder, self.root)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that can't be resolved
        return False


def _show_kind(suffix: str, number: int) -> str:
    hint = f" ({HEIF_HINT})" if suffix in HEIF_SUFFIXES else ""
    return f"{number:,} {suffix or 'without an ending'}{hint}"


def _show_folders(what: str, names: list[str]) -> str:
    shown = ", ".join(name.encode("utf-8", "backslashreplace").decode() for name in names[:_SHOWN])
    more = ", ..." if len(names) > _SHOWN else ""
    return f"{len(names):,} {what}{'s' if len(names) > 1 else ''}: {shown}{more}"
