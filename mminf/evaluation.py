"""Measures an Oasis run over drawn scenes against their truth."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mminf import api
from mminf.demo_model import demo_model
from mminf.errors import UsageError
from mminf.journal import Journal
from mminf.world import (
    THRESHOLDS,
    Scene,
    draw_scene,
    extract,
    is_right,
    is_valid_hook,
    judge,
    make_hook,
    make_scene,
)
from mminf.world.language import caption
from mminf.world.oracle import keeps

_NAME = re.compile(r"scene-(\d{6,})\.png")
AXES = tuple(THRESHOLDS)
TRAINED = range(1_000_000, 1_024_000)
"""Seeds of the scenes that the demo model was trained on."""
MARGIN = 100_000


@dataclass
class Share:
    """So many of so many."""

    part: int = 0
    of: int = 0

    def add(self, holds: bool) -> None:
        """Counts one more."""
        self.part += holds
        self.of += 1

    @property
    def value(self) -> float | None:
        """Between 0 and 1; None of nothing."""
        return self.part / self.of if self.of else None

    def __str__(self) -> str:
        return f"{self.part} of {self.of}" + (f" ({self.part / self.of:.1%})" if self.of else "")


@dataclass
class Item:
    """What a run made of one scene: the text it began with, and what came of it."""

    scene: Scene
    text: str
    instruction: str | None
    scores: dict[str, int]
    response: str | None
    failed: bool
    kept: bool

    @property
    def sound(self) -> bool:
        """Whether the oracle finds the instruction sound."""
        return self.instruction is not None and judge(self.instruction, self.scene).sound


def scene_name(seed: int) -> str:
    """Returns the file name of a scene's image, which tells its seed."""
    return f"scene-{seed:06}.png"


def draw_scenes(folder: Path, seeds: Iterable[int]) -> list[Path]:
    """Writes a PNG image of each seed's scene. Returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for seed in seeds:
        paths.append(folder / scene_name(seed))
        draw_scene(make_scene(seed)).save(paths[-1])
    return paths


def _scene_of(name: str) -> Scene | None:
    found = _NAME.fullmatch(Path(name).name)
    return make_scene(int(found[1])) if found else None


def read_items(output: Path) -> tuple[list[Item], int]:
    """Returns what an Oasis run made of each drawn scene, and how many of its records show none.

    What the run kept is what came to its end; in a run without a `keep`, what the recipe's thresholds would have kept.

    Raises:
        JournalError: if there is no run.
        UsageError: if it has no record of a drawn scene.
    """
    items, others = [], 0
    with Journal(output) as journal:
        steps = json.loads(journal.meta("recipe") or "{}").get("steps", [])
        filtered = any("keep" in step for step in steps)
        for row in journal.rows(0, states=("done", "dropped", "failed")):
            fields: dict[str, Any] = {**row.fields}
            images = fields.get("images") or [row.id]
            scene = _scene_of(str(images[0]))
            if scene is None:
                others += 1
                continue
            scores = {axis: fields[axis] for axis in AXES if isinstance(fields.get(axis), int)}
            items.append(
                Item(
                    scene,
                    str(fields.get("sampled_text", "")),
                    fields.get("instruction"),
                    scores,
                    fields.get("response"),
                    failed=row.state == "failed",
                    kept=row.state == "done" and (filtered or (len(scores) == len(AXES) and keeps(scores))),
                )
            )
    if not items:
        raise UsageError(f"no record in {output} shows a drawn scene: their files are called {scene_name(0)} and so on")
    return items, others


def measure(items: Sequence[Item]) -> dict[str, Share]:
    """Compares a run with the truth.

    Returns:
        valid: sampled texts that are of the world's language.
        classified: texts of which the classifier says what the oracle says, instructions word for word.
        extracted: of those that hold an instruction, those whose instruction was taken out word for word.
        classifier precision, classifier recall: of what it takes for an instruction; of what holds one.
        solvability, clarity, hallucination, nonsense: instructions that a score puts on its threshold's true side.
        bad solvability, ... caught: of the instructions that an axis should stop, those that it does.
        filter precision, filter recall: kept instructions that are sound; of the texts that hold a sound instruction,
            those that were kept, whatever it was that lost the others.
        kept: of all texts.
        answers: responses to sound instructions that are right.
        failed: records that came to no end.
    """
    names = ["valid", "classified", "extracted", "classifier precision", "classifier recall", *AXES]
    names += [f"bad {axis} caught" for axis in AXES]
    names += ["filter precision", "filter recall", "kept", "answers", "failed"]
    shares = {name: Share() for name in names}
    for item in items:
        truth = extract(item.text)
        shares["valid"].add(is_valid_hook(item.text))
        shares["classified"].add(item.instruction == truth and not (item.failed and item.instruction is None))
        if item.instruction is not None:
            shares["classifier precision"].add(truth is not None)
        if truth is not None:
            shares["classifier recall"].add(item.instruction is not None)
            shares["extracted"].add(item.instruction == truth)
            if judge(truth, item.scene).sound:
                shares["filter recall"].add(item.kept)
        shares["kept"].add(item.kept)
        shares["failed"].add(item.failed)
        if item.instruction is None:
            continue
        verdict = judge(item.instruction, item.scene)
        for axis, score in item.scores.items():
            passed = score >= THRESHOLDS[axis]
            shares[axis].add(passed == verdict.passes(axis))
            if not verdict.passes(axis):
                shares[f"bad {axis} caught"].add(not passed)
        if item.kept:
            shares["filter precision"].add(verdict.sound)
        if item.response is not None and verdict.sound:
            shares["answers"].add(is_right(item.response, item.instruction, item.scene))
    return shares


def funnel(items: Sequence[Item]) -> list[tuple[str, int, str]]:
    """Returns the stages of a run: a name, the records that are left, and what the oracle says of them."""
    shares = measure(items)
    asked = [item for item in items if item.instruction is not None]
    kept = [item for item in items if item.kept]
    answered = [item for item in kept if item.response is not None]
    right = sum(is_right(item.response or "", item.instruction or "", item.scene) for item in answered)
    held = shares["classifier recall"].of
    missed = shares["filter recall"].of - shares["filter recall"].part
    return [
        (
            "sampled",
            sum(bool(item.text) for item in items),
            f"{shares['valid'].part} are in the language of the scenes, {held} hold an instruction",
        ),
        (
            "instructions",
            len(asked),
            f"{shares['classifier precision'].part} are, {shares['extracted'].part} word for word; "
            f"{sum(item.sound for item in asked)} are sound",
        ),
        ("kept", len(kept), f"{shares['filter precision'].part} are sound; {missed} sound ones were lost"),
        ("answered", len(answered), f"{right} answers are right"),
    ]


def funnel_text(output: Path) -> str:
    """Returns the funnel of a run beside the truth, as a table."""
    items, others = read_items(output)
    lines = [f"{'':13}{'records':>7}  what the oracle says of them"]
    lines += [f"{name:13}{number:7}  {truth}" for name, number, truth in funnel(items)]
    if failed := sum(item.failed for item in items):
        lines.append(f"{'failed':13}{failed:7}")
    if others:
        lines.append(
            f"{others} records show no drawn scene, so their truth isn't known: the demo model has seen nothing but "
            "its scenes, and speaks of a photo as if it were one"
        )
    return "\n".join(lines)


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
        raise UsageError(
            f"seeds from {TRAINED.start - MARGIN} on are the training's; {scenes} scenes and twice as many texts from "
            f"seed {first} on go to {first + 3 * scenes - 1}"
        )
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is no folder")
    seeds = range(first, first + scenes)
    sources = {"sampled": _write_source(output, "sampled", seeds, texts=False)}
    sources["drawn"] = _write_source(output, "drawn", range(first + scenes, first + 3 * scenes), texts=True)
    changes = {"sampled": ["early_drop=false"], "drawn": ["steps.hook=false", "steps.keep=false"]}
    seen = {caption(make_scene(seed)) for seed in TRAINED}
    found: dict[str, Any] = {"model": weights_digest()}
    for name, source in sources.items():
        values = [*settings, *changes[name]]
        api.run("oasis", profile="demo", input=source, output=output / name, settings=values, progress=progress)
        items, _ = read_items(output / name)
        found[name] = _shares(items)
        found[f"{name}, new"] = _shares([item for item in items if caption(item.scene) not in seen])
    return found


def _write_source(output: Path, name: str, seeds: Sequence[int], *, texts: bool) -> Path:
    """Draws scenes and writes the rows of a run over them: these only, whatever else lies in the folder."""
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
    return hashlib.sha256((demo_model() / "model.safetensors").read_bytes()).hexdigest()
