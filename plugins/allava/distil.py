"""`distil`: caption, candidate questions, question and answer, from one answer of a model."""

from __future__ import annotations

import re

from pydantic import Field
from rapidfuzz import fuzz

from mminf.step import (
    BaseGenerate,
    Fields,
    GenerateConfig,
    UnusableAnswer,
    parse_lines,
    parse_tag,
    short,
    step,
    strange_words,
)

_SAME = 92
"""Minimum RapidFuzz ratio of equal questions; models change punctuation when they repeat a question."""
_FIELDS = {
    "caption": "description",
    "candidates": "candidate questions",
    "instruction": "question",
    "response": "answer",
}


class DistilConfig(GenerateConfig):
    """Settings of `distil`."""

    candidates: int = Field(5, ge=1, description="Number of candidate questions.")


@step("distil")
class Distil(BaseGenerate[DistilConfig]):
    """Asks for four parts in tags; an answer without all four is retried (ALLaVA, section 3.2).

    Writes `caption`, `candidates` (a list), `instruction` and `response`. Questions may have several lines.
    """

    @property
    def writes(self) -> frozenset[str]:
        """The four fields that are taken out of the answer."""
        return frozenset(_FIELDS)

    def written(self, text: str) -> Fields:
        """Returns the four fields. Raises UnusableAnswer if one is missing, or the question is not a candidate."""
        found = {field: parse_tag(text, tag) for field, tag in _FIELDS.items()}
        candidates = parse_lines(found["candidates"], spanning=True)
        if len(candidates) != self.config.candidates:
            raise UnusableAnswer(f"{len(candidates)} candidate questions, not {self.config.candidates}")
        # All lines are the question: two questions are none of the candidates.
        chosen = " ".join(parse_lines(" ".join(found["instruction"].split())))
        return {**found, "candidates": candidates, "instruction": _chosen(chosen, candidates)}


def _chosen(question: str, candidates: list[str]) -> str:
    """Returns the candidate that a model chose. Raises UnusableAnswer if the question is not one of them."""
    best = max(candidates, key=lambda candidate: fuzz.ratio(_plain(question), _plain(candidate)))
    if (
        fuzz.ratio(_plain(question), _plain(best)) < _SAME
        or strange_words(question, best)
        or strange_words(best, question)
    ):
        raise UnusableAnswer(f"the chosen question is not one of the candidates: {short(question)}")
    return best


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text.casefold()).strip()
