"""Template files."""

from __future__ import annotations

from pathlib import Path


def find_template(name: str, folders: list[Path]) -> Path | None:
    """Returns the file of a template below one of the folders, or None. Files outside of the folders are not found."""
    for folder in folders:
        path = (folder / name).resolve()
        if path.is_file() and path.is_relative_to(folder.resolve()):
            return path
    return None
