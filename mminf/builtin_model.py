"""A model that is bundled with a plugin; recipes name it `builtin:NAME`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class BuiltinModel:
    """A model whose files are bundled with a plugin.

    Attributes:
        name: the part after `builtin:` in a recipe.
        folder: folder with the files of the model.
        template: ms-swift's name for the model's type and template.
        files: names of the files that the model's answers depend on. A change of another file repeats no call.
    """

    name: str
    folder: Path
    template: str
    files: tuple[str, ...]
