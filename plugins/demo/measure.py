"""Compares the results of an Oasis run over drawn scenes with the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .items import AXES, Item
from .world import THRESHOLDS, extract, is_right, is_valid_hook, judge


@dataclass
class Share:
    """A share: a number of items, and the total number."""

    part: int = 0
    of: int = 0

    def add(self, holds: bool) -> None:
        """Counts one more item."""
        self.part += holds
        self.of += 1

    @property
    def value(self) -> float | None:
        """The share between 0 and 1; None if the total is 0."""
        return self.part / self.of if self.of else None

    def __str__(self) -> str:
        return f"{self.part} of {self.of}" + (f" ({self.part / self.of:.1%})" if self.of else "")


def measure(items: Sequence[Item]) -> dict[str, Share]:
    """Compares a run with the truth.

    Returns:
        valid: share of sampled texts that are in the world's language.
        classified: share of texts that the classifier and the oracle judge alike, with identical instructions.
        extracted: of the texts with an instruction, the share whose instruction was extracted word for word.
        classifier precision, classifier recall: of the classifier's decision that a text contains an instruction.
        solvability, clarity, hallucination, nonsense: share of instructions whose score is on the right side of the
            threshold.
        bad solvability, ... caught: of the instructions that an axis should reject, the share that it rejects.
        filter precision, filter recall: share of kept instructions that are sound; of the texts with a sound
            instruction, the share that was kept by all steps.
        kept: share of texts that were kept.
        answers: share of right responses to sound instructions.
        failed: share of failed records.
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
