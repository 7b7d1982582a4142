"""Writes the files of a new plugin."""

from __future__ import annotations

import keyword
import re
import sys
from pathlib import Path

from mminf.errors import UsageError, nearest
from mminf.plugin.discovery import discover
from mminf.plugin.kinds import KINDS
from mminf.registry import BACKENDS, SINKS, SOURCES, STEPS

_TAKEN = {"source": SOURCES, "sink": SINKS, "backend": BACKENDS}


def write_plugin(name: str, folder: Path | None = None, kind: str = "step") -> list[Path]:
    """Writes a plugin and a recipe that runs it. Rows for the recipe are written as well, unless their file exists.

    Args:
        name: of the new member: the plugin is `<name>.py`, the recipe `<name>.yaml`.
        kind: one of `KINDS`.

    Returns:
        The files that were written: plugin, recipe, rows.

    Raises:
        UsageError: if the name is not an identifier or is taken, there is no such kind, or a file exists already.
    """
    if kind not in KINDS:
        raise UsageError(f"there is no kind of plugin {kind!r}{nearest(kind, KINDS)}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise UsageError(f"{name!r} is not a valid name; use lower-case letters, digits and underscores")
    if name in sys.stdlib_module_names or keyword.iskeyword(name):
        raise UsageError(
            f"{name!r} is a module or a keyword of Python, which {name}.py would hide; choose another name"
        )
    discover()
    if name in _TAKEN.get(kind, STEPS):
        what = kind if kind in _TAKEN else "step"
        raise UsageError(f"{what} {name!r} exists already; choose another name")
    folder = folder or Path.cwd()
    made = KINDS[kind]
    files = [(folder / f"{name}.py", made.plugin), (folder / f"{name}.yaml", made.recipe)]
    for path, _ in files:
        if path.exists():
            raise UsageError(f"{path} exists already")
    if made.rows is not None and not (folder / made.rows[0]).exists():
        files.append((folder / made.rows[0], made.rows[1]))
    for path, text in files:
        path.write_text(fill(text, name), encoding="utf-8")
    return [path for path, _ in files]


def fill(text: str, name: str) -> str:
    """Returns a text of a kind for a member's name."""
    cls = "".join(part.capitalize() for part in name.split("_"))
    return text.replace("CLASS", cls).replace("NAME", name)
