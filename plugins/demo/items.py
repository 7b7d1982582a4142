"""Reads the results of an Oasis run for each drawn scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mminf

from .scenes import find_scene, scene_name
from .world import THRESHOLDS, Scene, judge
from .world.oracle import keeps

AXES = tuple(THRESHOLDS)


@dataclass
class Item:
    """The results of a run for one scene: its first text, and the values that the steps computed from it."""

    scene: Scene
    text: str
    instruction: str | None
    scores: dict[str, int]
    response: str | None
    failed: bool
    kept: bool

    @property
    def sound(self) -> bool:
        """Whether the instruction is sound by the oracle."""
        return self.instruction is not None and judge(self.instruction, self.scene).sound


def read_items(output: Path) -> tuple[list[Item], int]:
    """Returns the results of an Oasis run for each drawn scene, and the number of records without a drawn scene.

    A run with a `keep` step kept the records that were not dropped. Without a `keep` step, the recipe's thresholds
    decide.

    Raises:
        JournalError: if there is no run.
        UsageError: if the run has no record of a drawn scene.
    """
    items, others = [], 0
    filtered = any("keep" in step for step in mminf.read_recipe(output).get("steps", []))
    for outcome in mminf.read_outcomes(output):
        if outcome["stage"] > 0:
            break
        if (item := _item(outcome, filtered=filtered)) is None:
            others += 1
        else:
            items.append(item)
    if not items:
        raise mminf.UsageError(
            f"no record in {output} shows a drawn scene; the files of drawn scenes have names like {scene_name(0)}"
        )
    return items, others


def _item(outcome: Mapping[str, Any], *, filtered: bool) -> Item | None:
    """Returns the item of an outcome, or None if its image is not a drawn scene."""
    fields = outcome["fields"]
    images = fields.get("images") or [outcome["id"]]
    scene = find_scene(str(images[0]))
    if scene is None:
        return None
    scores = {axis: fields[axis] for axis in AXES if isinstance(fields.get(axis), int)}
    return Item(
        scene,
        str(fields.get("sampled_text", "")),
        fields.get("instruction"),
        scores,
        fields.get("response"),
        failed=outcome["state"] == "failed",
        kept=outcome["state"] == "done" and (filtered or (len(scores) == len(AXES) and keeps(scores))),
    )
