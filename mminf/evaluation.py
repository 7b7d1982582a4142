"""Measures an Oasis run over drawn scenes against their truth."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mminf import api
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
from mminf.world.oracle import keeps

_NAME = re.compile(r"scene-(\d{6,})\.png")
AXES = tuple(THRESHOLDS)


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

    @property
    def scored(self) -> bool:
        """Whether all axes were scored."""
        return len(self.scores) == len(AXES)

    @property
    def kept(self) -> bool:
        """Whether the scores let it pass."""
        return self.scored and keeps(self.scores)

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

    Raises:
        JournalError: if there is no run.
        UsageError: if it has no record of a drawn scene.
    """
    items, others = [], 0
    with Journal(output) as journal:
        for row in journal.rows(0, states=("done", "dropped", "failed")):
            fields = row.fields
            images = fields.get("images") or [row.id]
            scene = _scene_of(str(images[0]))
            if scene is None:
                others += 1
                continue
            scores = {axis: int(fields[axis]) for axis in AXES if axis in fields}
            items.append(
                Item(
                    scene,
                    str(fields.get("sampled_text", "")),
                    fields.get("instruction"),
                    scores,
                    fields.get("response"),
                    row.state == "failed",
                )
            )
    if not items:
        raise UsageError(f"no record in {output} shows a drawn scene: their files are called {scene_name(0)} and so on")
    return items, others


def measure(items: Sequence[Item]) -> dict[str, Share]:
    """Compares a run with the truth.

    Returns:
        valid: sampled texts that are of the world's language.
        classified: texts for which the classifier says what the oracle says, instructions word for word.
        classifier precision, classifier recall: of what it takes for an instruction; of what holds one.
        solvability, clarity, hallucination, nonsense: instructions that a score puts on its threshold's true side.
        filter precision, filter recall: kept instructions that are sound; sound ones that are kept.
        kept: of all texts.
        answers: responses to sound instructions that are right.
        failed: records that came to no end.
    """
    names = ["valid", "classified", "classifier precision", "classifier recall", *AXES]
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
        shares["kept"].add(item.kept)
        shares["failed"].add(item.failed)
        if item.instruction is None:
            continue
        verdict = judge(item.instruction, item.scene)
        for axis, score in item.scores.items():
            shares[axis].add((score >= THRESHOLDS[axis]) == verdict.passes(axis))
        if item.kept:
            shares["filter precision"].add(verdict.sound)
        if verdict.sound and item.scored:
            shares["filter recall"].add(item.kept)
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
            f"{shares['classifier precision'].part} are; {shares['classified'].part} of all "
            f"{len(items)} texts were read right, word for word; {sum(item.sound for item in asked)} are sound",
        ),
        ("kept", len(kept), f"{shares['filter precision'].part} are sound; {missed} sound ones were dropped"),
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

    Args:
        scenes: number of scenes.
        first: seed of the first; below 1,000,000 lie the seeds that training leaves out.
        settings: for the recipe, as `--set` takes them.

    Returns:
        `sampled` and `drawn`: share, part and number for each name that `measure` gives.

    Raises:
        UsageError: if a seed is one of the training's, or the recipe can't run.
    """
    if first + 2 * scenes > 900_000:
        raise UsageError("seeds from 900000 on were seen in training; take a lower --first")
    images = output / "images"
    draw_scenes(images, range(first, first + scenes))
    texts = output / "texts.jsonl"
    drawn = range(first + scenes, first + 3 * scenes)
    paths = draw_scenes(output / "drawn", drawn)
    with texts.open("w", encoding="utf-8") as file:
        for seed, path in zip(drawn, paths, strict=True):
            text = make_hook(make_scene(seed), random.Random(f"text/{seed}"))
            row = {"id": path.name, "images": [str(path.resolve())], "sampled_text": text}
            file.write(json.dumps(row) + "\n")
    runs = {
        "sampled": (images, list(settings)),
        "drawn": (texts, [*settings, "steps.hook=false", "steps.keep=false"]),
    }
    found: dict[str, Any] = {}
    for name, (source, values) in runs.items():
        api.run("oasis", profile="demo", input=source, output=output / name, settings=values, progress=progress)
        shares = measure(read_items(output / name)[0])
        found[name] = {
            key: {"share": None if share.value is None else round(share.value, 4), "part": share.part, "of": share.of}
            for key, share in shares.items()
        }
    return found
