"""Image files of drawn scenes. A file's name contains the seed of its scene."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from .world import Scene, draw_scene, make_scene

_NAME = re.compile(r"scene-(\d{6,})\.png")


def scene_name(seed: int) -> str:
    """Returns the file name of a scene's image, which contains the seed."""
    return f"scene-{seed:06}.png"


def draw_scenes(folder: Path, seeds: Iterable[int]) -> list[Path]:
    """Writes a PNG image of the scene of each seed, and returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for seed in seeds:
        paths.append(folder / scene_name(seed))
        draw_scene(make_scene(seed)).save(paths[-1])
    return paths


def find_scene(name: str) -> Scene | None:
    """Returns the scene of an image file, or None if the name is not that of a drawn scene."""
    found = _NAME.fullmatch(Path(name).name)
    return make_scene(int(found[1])) if found else None
