"""The figures of `check_prompts.py`: compares what the steps of a run read with the labels of the texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mminf_plugins.demo.world import THRESHOLDS
from prompt_texts import AXES, NO_INST, Case

import mminf
from mminf import api

_COLUMNS = ("texts", "right", "exact", "unreadable")


@dataclass(frozen=True)
class Reading:
    """What a step read from the model's answer about a case.

    Attributes:
        value: the instruction, `NO_INST`, or a grade; None if there is none.
        answer: the last answer of the model; None if no call succeeded.
        reason: why there is no value.
    """

    case: Case
    value: str | int | None
    answer: str | None = None
    reason: str = ""

    @property
    def unreadable(self) -> bool:
        """Whether the model answered, and the answer could not be read."""
        return self.value is None and self.answer is not None

    @property
    def failed(self) -> bool:
        """Whether the model did not answer."""
        return self.value is None and self.answer is None

    @property
    def right(self) -> bool:
        """Whether the classifier found the right kind of text, or a grade is on the right side of the threshold."""
        if self.value is None:
            return False
        found = self.value != NO_INST if self.case.grades is None else int(self.value) >= THRESHOLDS[self.case.axis]
        return found == self.case.passes

    @property
    def exact(self) -> bool:
        """Whether the instruction is the right one, or a grade is one that a careful judge gives."""
        if not self.right:
            return False
        if self.case.grades is None:
            accepted = {_spaced(text) for text in self.case.instructions or (NO_INST,)}
            return _spaced(str(self.value)) in accepted
        return self.case.grades[0] <= int(str(self.value)) <= self.case.grades[1]

    @property
    def rating(self) -> str:
        """The result in one word."""
        if self.value is None:
            return "failed" if self.failed else "unreadable"
        return "exact" if self.exact else "inexact" if self.right else "wrong"


def _spaced(text: str) -> str:
    return " ".join(text.split())


@dataclass
class Figures:
    """Counts of a group of texts. Unreadable and failed texts are wrong."""

    texts: int = 0
    passing: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, reading: Reading) -> None:
        """Counts one more text."""
        self.texts += 1
        self.passing += reading.case.passes
        self.counts.update(name for name in ("right", "exact", "unreadable", "failed") if getattr(reading, name))

    @property
    def constant(self) -> float:
        """The share of right results of the better model among two: one accepts every text, one accepts none."""
        return max(self.passing, self.texts - self.passing) / self.texts

    def values(self) -> dict[str, Any]:
        """Returns the counts and the shares as JSON values."""
        counts = {name: self.counts[name] for name in ("right", "exact", "unreadable", "failed")}
        shares = {f"{name}_share": round(self.counts[name] / self.texts, 4) for name in ("right", "exact")}
        return {"texts": self.texts, **counts, **shares}


def read_results(output: Path, cases: Iterable[Case]) -> list[Reading]:
    """Returns what a run read for each case. A case that the run did not reach counts as failed."""
    outcomes = {outcome["id"]: outcome for outcome in mminf.read_outcomes(output)}
    return [_read_result(output, case, outcomes.get(case.id)) for case in cases]


def _read_result(output: Path, case: Case, outcome: Mapping[str, Any] | None) -> Reading:
    if outcome is None:
        return Reading(case, None, reason="the run did not reach this text")
    calls = api.show(output, case.id)["calls"]
    answer = calls[-1]["text"] if calls else None
    if outcome["state"] == "failed":
        return Reading(case, None, answer, outcome["reason"] or "")
    if case.axis == "classify":
        return Reading(case, NO_INST if outcome["state"] == "dropped" else outcome["fields"]["instruction"], answer)
    return Reading(case, outcome["fields"][case.axis], answer)


def count(readings: Iterable[Reading]) -> dict[str, dict[tuple[str, str], Figures]]:
    """Returns figures by axis, and by kind and language; `*` means all of them."""
    found: dict[str, dict[tuple[str, str], Figures]] = {}
    for reading in readings:
        case = reading.case
        groups = found.setdefault(case.axis, {})
        for group in ((case.kind, case.language), ("*", case.language), ("*", "*")):
            groups.setdefault(group, Figures()).add(reading)
    return {axis: found[axis] for axis in AXES if axis in found}


def as_values(readings: Sequence[Reading]) -> dict[str, Any]:
    """Returns the figures as JSON values."""
    axes = {}
    for axis, groups in count(readings).items():
        total = groups["*", "*"]
        kinds: dict[str, dict[str, Any]] = {}
        for (kind, language), figures in groups.items():
            if kind != "*":
                kinds.setdefault(kind, {})[language] = figures.values()
        languages = {language: found.values() for (kind, language), found in groups.items() if kind == "*"}
        del languages["*"]
        constant = round(total.constant, 4)
        axes[axis] = {**total.values(), "constant_share": constant, "languages": languages, "kinds": kinds}
    return axes


def table(readings: Sequence[Reading]) -> str:
    """Returns the figures as text: one block per axis, one line per kind and language."""
    return "\n\n".join("\n".join(_block(axis, groups)) for axis, groups in count(readings).items())


def _block(axis: str, groups: Mapping[tuple[str, str], Figures]) -> Iterator[str]:
    total = groups["*", "*"]
    yield f"{axis:22}" + "".join(f"{name:>12}" for name in _COLUMNS)
    for kind in dict.fromkeys(kind for kind, _ in groups if kind != "*"):
        for language in dict.fromkeys(name for found, name in groups if found == kind):
            yield _line(f"  {kind}, {language}", groups[kind, language])
    for language in dict.fromkeys(name for kind, name in groups if kind == "*" and name != "*"):
        yield _line(f"all, {language}", groups["*", language])
    yield _line("all", total) + f"   (the same answer to every text: at most {total.constant:.0%} right)"


def _line(name: str, figures: Figures) -> str:
    shares = (f"{figures.counts[name]:>6} {figures.counts[name] / figures.texts:>5.0%}" for name in ("right", "exact"))
    unreadable, failed = figures.counts["unreadable"], figures.counts["failed"]
    tail = f"   {failed} calls failed" if failed else ""
    return f"{name:22}{figures.texts:>12}" + "".join(shares) + f"{unreadable:>12}" + tail


def write_wrong(path: Path, readings: Iterable[Reading]) -> int:
    """Writes the texts whose result is not exact to a text file; returns their number."""
    wrong = [reading for reading in readings if not reading.exact]
    path.write_text("\n".join(_describe(reading) for reading in wrong), encoding="utf-8")
    return len(wrong)


def _describe(reading: Reading) -> str:
    case = reading.case
    parts = {
        "text": case.text,
        "image": None if case.image is None else str(case.image),
        "expected": case.expected,
        "read": None if reading.value is None else str(reading.value),
        "reason": reading.reason or None,
        "answer": reading.answer,
    }
    lines = [f"=== {case.id}: {reading.rating}"]
    for name, value in parts.items():
        if value is not None:
            lines += [f"{name}:", *(f"    {line}" for line in value.splitlines() or [""])]
    return "\n".join([*lines, ""])
