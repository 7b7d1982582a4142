"""A model that is bundled with a plugin; recipes name it `builtin:NAME`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class BuiltinModel:
    """A model whose files are bundled with a plugin.

    Attributes:
        name: what follows `builtin:` in a recipe.
        folder: contains its files.
        template: ms-swift's name of its type and of its template.
        files: names of the files that its answers depend on. A change of any other file repeats no call.
    """

    name: str
    folder: Path
    template: str
    files: tuple[str, ...]
