"""The funnel of an Oasis run over drawn scenes, next to the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .items import Item, read_items
from .measure import measure
from .world import is_right


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
    """Returns the funnel of a run next to the truth, as a table."""
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
