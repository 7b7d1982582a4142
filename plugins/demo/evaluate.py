"""Measures the demo model on scenes that were not used for training."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mminf
from mminf.backend import find_model

from .items import Item, read_items
from .measure import measure
from .scenes import draw_scenes
from .world import caption, make_hook, make_scene
from .world.chinese import in_chinese

TRAINED = range(1_000_000, 1_024_000)
"""Seeds of the training scenes of the demo model."""
COLUMNS = ("sampled", "sampled, new", "sampled, Chinese", "drawn", "drawn, new", "drawn, Chinese")
MARGIN = 100_000
"""Number of seeds before the training seeds that are excluded, too."""


def evaluate(
    output: Path,
    *,
    scenes: int = 500,
    texts: int | None = None,
    first: int = 0,
    settings: Sequence[str] = (),
    progress: bool = False,
) -> dict[str, Any]:
    """Measures the demo model on scenes that were not used for training.

    Makes two runs of the Oasis recipe with its demo profile. The first samples texts for each scene with the model. The
    second uses drawn texts, and no filter, so that every task is measured on texts that do not depend on the model.
    Both score all axes of every instruction.

    Scenes of different seeds can have the same content: there are few signs, and charts of two bars repeat. Therefore
    every result is also computed for the scenes whose content differs from all training scenes, and for Chinese texts.

    Args:
        scenes: number of scenes for which the model samples.
        texts: number of scenes with drawn texts; by default twice as many.
        first: seed of the first scene; seeds from 900,000 on are used for training.
        settings: settings of the recipe, as for `--set`.

    Returns:
        For each of `COLUMNS`: share, part and number for each name that `measure`
        returns; `model`: a digest of the weights.

    Raises:
        UsageError: if a seed is a training seed, or the recipe can't run.
    """
    texts = 2 * scenes if texts is None else texts
    if first + scenes + texts > TRAINED.start - MARGIN:
        raise mminf.UsageError(
            f"seeds from {TRAINED.start - MARGIN} on are used for training; {scenes} scenes and {texts} texts "
            f"from seed {first} on end at {first + scenes + texts - 1}"
        )
    if output.exists() and not output.is_dir():
        raise mminf.UsageError(f"{output} is not a folder")
    seeds = range(first, first + scenes)
    sources = {"sampled": _write_source(output, "sampled", seeds, texts=False)}
    sources["drawn"] = _write_source(output, "drawn", range(first + scenes, first + scenes + texts), texts=True)
    changes = {"sampled": ["early_drop=false"], "drawn": ["steps.hook=false", "steps.keep=false"]}
    seen = {caption(make_scene(seed)) for seed in TRAINED}
    found: dict[str, Any] = {"model": weights_digest()}
    for name, source in sources.items():
        values = [*settings, *changes[name]]
        mminf.run("oasis", profile="demo", input=source, output=output / name, settings=values, progress=progress)
        items, _ = read_items(output / name)
        found[name] = _shares(items)
        found[f"{name}, new"] = _shares([item for item in items if caption(item.scene) not in seen])
        found[f"{name}, Chinese"] = _shares([item for item in items if in_chinese(item.text)])
    return found


def _write_source(output: Path, name: str, seeds: Sequence[int], *, texts: bool) -> Path:
    """Draws scenes, and writes the rows of a run over these scenes."""
    paths = draw_scenes(output / "images", seeds)
    rows = output / f"{name}.jsonl"
    with rows.open("w", encoding="utf-8") as file:
        for seed, path in zip(seeds, paths, strict=True):
            row = {"id": path.name, "images": [str(path.resolve())]}
            if texts:
                row["sampled_text"] = make_hook(make_scene(seed), random.Random(f"text/{seed}"))
            file.write(json.dumps(row) + "\n")
    return rows


def _shares(items: Sequence[Item]) -> dict[str, Any]:
    return {
        name: {"share": None if share.value is None else round(share.value, 4), "part": share.part, "of": share.of}
        for name, share in measure(items).items()
    }


def weights_digest() -> str:
    """Returns the SHA-256 of the demo model's weights."""
    return hashlib.sha256((find_model("builtin:demo").folder / "model.safetensors").read_bytes()).hexdigest()
