"""Measures the demo model on scenes that its training never saw."""

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

TRAINED = range(1_000_000, 1_024_000)
"""Seeds of the scenes that the demo model was trained on."""
MARGIN = 100_000
"""Number of seeds before the training's that are left out as well."""


def evaluate(
    output: Path, *, scenes: int = 500, first: int = 0, settings: Sequence[str] = (), progress: bool = False
) -> dict[str, Any]:
    """Measures the demo model on scenes that its training never saw.

    Two runs of the Oasis recipe with its demo profile: one over what the model samples for each scene; one over drawn
    texts, twice as many, without the filter, so that every skill is measured on texts that don't depend on the model.
    Both score all axes of every instruction.

    A new seed need not be a new scene: there are few signs, and charts of two bars repeat. So every figure is also
    given for those scenes alone whose content no training scene had.

    Args:
        scenes: number of scenes.
        first: seed of the first; those from 900,000 on are left to training.
        settings: for the recipe, as `--set` takes them.

    Returns:
        `sampled` and `drawn`, `sampled, new` and `drawn, new`: share, part and number for each name that `measure`
        gives; `model`: a digest of the weights.

    Raises:
        UsageError: if a seed is one of the training's, or the recipe can't run.
    """
    if first + 3 * scenes > TRAINED.start - MARGIN:
        raise mminf.UsageError(
            f"seeds from {TRAINED.start - MARGIN} on are the training's; {scenes} scenes and twice as many texts from "
            f"seed {first} on go to {first + 3 * scenes - 1}"
        )
    if output.exists() and not output.is_dir():
        raise mminf.UsageError(f"{output} is no folder")
    seeds = range(first, first + scenes)
    sources = {"sampled": _write_source(output, "sampled", seeds, texts=False)}
    sources["drawn"] = _write_source(output, "drawn", range(first + scenes, first + 3 * scenes), texts=True)
    changes = {"sampled": ["early_drop=false"], "drawn": ["steps.hook=false", "steps.keep=false"]}
    seen = {caption(make_scene(seed)) for seed in TRAINED}
    found: dict[str, Any] = {"model": weights_digest()}
    for name, source in sources.items():
        values = [*settings, *changes[name]]
        mminf.run("oasis", profile="demo", input=source, output=output / name, settings=values, progress=progress)
        items, _ = read_items(output / name)
        found[name] = _shares(items)
        found[f"{name}, new"] = _shares([item for item in items if caption(item.scene) not in seen])
    return found


def _write_source(output: Path, name: str, seeds: Sequence[int], *, texts: bool) -> Path:
    """Draws scenes and writes the rows of a run over them: only these, whatever else is in the folder."""
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
