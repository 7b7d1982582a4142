"""Measures an Oasis run over drawn scenes against their truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .items import AXES, Item
from .world import THRESHOLDS, extract, is_right, is_valid_hook, judge


@dataclass
class Share:
    """A number of items out of a total."""

    part: int = 0
    of: int = 0

    def add(self, holds: bool) -> None:
        """Counts one more."""
        self.part += holds
        self.of += 1

    @property
    def value(self) -> float | None:
        """Between 0 and 1; None if the total is 0."""
        return self.part / self.of if self.of else None

    def __str__(self) -> str:
        return f"{self.part} of {self.of}" + (f" ({self.part / self.of:.1%})" if self.of else "")


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
            those that were kept, whichever step lost the others.
        kept: of all texts.
        answers: responses to sound instructions that are right.
        failed: records that failed.
    """
    names = ["valid", "classified", "extracted", "classifier precision", "classifier recall", *AXES]
    names += [f"bad {axis} caught" for axis in AXES]
    names += ["filter precision", "filter recall", "kept", "answers", "failed"]
    shares = {name: Share() for name in names}
    for item in items:
        _count_text(shares, item)
        if item.instruction is not None:
            _count_instruction(shares, item, item.instruction)
    return shares


def _count_text(shares: Mapping[str, Share], item: Item) -> None:
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


def _count_instruction(shares: Mapping[str, Share], item: Item, instruction: str) -> None:
    verdict = judge(instruction, item.scene)
    for axis, score in item.scores.items():
        passed = score >= THRESHOLDS[axis]
        shares[axis].add(passed == verdict.passes(axis))
        if not verdict.passes(axis):
            shares[f"bad {axis} caught"].add(not passed)
    if item.kept:
        shares["filter precision"].add(verdict.sound)
    if item.response is not None and verdict.sound:
        shares["answers"].add(is_right(item.response, instruction, item.scene))
