"""Compares the funnel of an Oasis run over drawn scenes with the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .items import Item, read_items
from .measure import measure
from .world import is_right


def funnel(items: Sequence[Item]) -> list[tuple[str, int, str]]:
    """Returns the stages of a run: name, number of remaining records, and the oracle's judgement of them."""
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
            f"{shares['valid'].part} are in the language of the scenes, {held} contain an instruction",
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
    """Returns a table of the funnel of a run and the truth."""
    items, others = read_items(output)
    lines = [f"{'':13}{'records':>7}  judgement of the oracle"]
    lines += [f"{name:13}{number:7}  {truth}" for name, number, truth in funnel(items)]
    if failed := sum(item.failed for item in items):
        lines.append(f"{'failed':13}{failed:7}")
    if others:
        lines.append(
            f"{others} records show no drawn scene, so their truth is unknown; the demo model was trained on drawn "
            "scenes only, and describes a photo like one"
        )
    return "\n".join(lines)
