"""The labelled texts of `check_prompts.py`: texts from evaluation/prompts, and instructions about drawn scenes."""

from __future__ import annotations

import importlib
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mminf_plugins.demo.scenes import scene_name
from mminf_plugins.demo.world import THRESHOLDS, draw_scene, judge, make_instruction, make_scene

FOLDER = Path(__file__).parent.parent / "evaluation" / "prompts"
NO_INST = "NO_INST"
TEXT_AXES = ("classify", "nonsense")
SCENE_AXES = ("solvability", "hallucination", "clarity")
AXES = (*TEXT_AXES, *SCENE_AXES)

# Number of instructions about scenes, by axis and by their quality in the world. For each axis, half of them pass.
SCENES = {
    "solvability": {"sound": 18, "unanswerable": 9, "absent": 9},
    "hallucination": {"sound": 12, "unanswerable": 6, "absent": 18},
    "clarity": {"sound": 12, "unanswerable": 6, "vague": 18},
}
# The world has few vague instructions, so that they repeat, with other images.
_REPEATED = "vague"


@dataclass(frozen=True)
class Case:
    """A labelled text.

    Attributes:
        axis: the step that gets the text: the classifier, or a judge.
        instructions: what the classifier may extract, the best one first; empty if the text contains no instruction.
        grades: lowest and highest grade that a careful judge gives; None for the classifier.
    """

    id: str
    axis: str
    language: str
    kind: str
    text: str
    instructions: tuple[str, ...] = ()
    grades: tuple[int, int] | None = None
    image: Path | None = None

    @property
    def passes(self) -> bool:
        """Whether the text contains an instruction, or passes the threshold of its axis."""
        return bool(self.instructions) if self.grades is None else self.grades[0] >= THRESHOLDS[self.axis]

    @property
    def expected(self) -> str:
        """The right result, as text."""
        if self.grades is None:
            return " | or | ".join(self.instructions) or NO_INST
        low, high = self.grades
        return str(low) if low == high else f"{low} to {high}"

    def row(self) -> dict[str, Any]:
        """Returns the row of the run; it contains no label."""
        field = "sampled_text" if self.axis == "classify" else "instruction"
        images = {} if self.image is None else {"images": [str(self.image.resolve())]}
        return {"id": self.id, "axis": self.axis, field: self.text, **images}


def read_texts(folder: Path = FOLDER) -> list[Case]:
    """Returns the labelled texts for the classifier and for the nonsense judge."""
    cases = []
    for axis in TEXT_AXES:
        for row in _read_rows(folder / f"{axis}.jsonl"):
            labels: dict[str, Any] = {}
            if axis != "classify":
                labels["grades"] = tuple(row["grades"])
            elif row["expected"] != NO_INST:
                labels["instructions"] = (row["expected"], *row.get("accepted", ()))
            cases.append(Case(f"{axis}-{row['id']}", axis, row["language"], row["kind"], row["text"], **labels))
    return cases


def _read_rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def draw_cases(folder: Path) -> list[Case]:
    """Returns instructions about drawn scenes, with the grades of the oracle. Draws the images that are missing.

    If the world has a Chinese side, each instruction is also in the list in Chinese.
    """
    folder.mkdir(parents=True, exist_ok=True)
    translate = find_translation()
    cases = []
    for axis, kind, seed, text in _instructions():
        scene = make_scene(seed)
        path = folder / scene_name(seed)
        if not path.is_file():
            draw_scene(scene).save(path)
        texts = {"en": text, "zh": translate(text) if translate is not None else None}
        for language, said in texts.items():
            if said is not None:
                grade = getattr(judge(text, scene), axis)
                name = f"{axis}-{language}-{kind}-{seed:06}"
                cases.append(Case(name, axis, language, kind, said, grades=(grade, grade), image=path))
    return cases


def _instructions() -> Iterator[tuple[str, str, int, str]]:
    """Yields axis, quality, seed of the scene, and an instruction, each instruction once per axis."""
    for axis, counts in SCENES.items():
        used: set[str] = set()
        seed = 0
        for kind, count in counts.items():
            left = count
            while left:
                text = make_instruction(make_scene(seed), random.Random(f"{axis}/{seed}"), kind)
                if kind == _REPEATED or text not in used:
                    used.add(text)
                    yield axis, kind, seed, text
                    left -= 1
                seed += 1


def find_translation() -> Callable[[str], str | None] | None:
    """Returns the function that translates a sentence of the world into Chinese, or None if there is none."""
    for name in ("mminf_plugins.demo.world", "mminf_plugins.demo.world.chinese"):
        try:
            found: Callable[[str], str | None] | None = getattr(importlib.import_module(name), "to_chinese", None)
        except ModuleNotFoundError:
            continue
        if found is not None:
            return found
    return None
