"""`distil`: caption, candidate questions, question and answer, from one answer of a model."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field
from rapidfuzz import fuzz

from mminf.answer.clean import short
from mminf.answer.ground import strange_words
from mminf.errors import AskAgain
from mminf.step.base import step
from mminf.step.generate import BaseGenerate, GenerateConfig
from mminf.step.parse import parse_lines, parse_tag

_SAME = 92
"""Minimum RapidFuzz ratio of equal questions; models change punctuation when they repeat a question."""
_FIELDS = {
    "caption": "description",
    "candidates": "candidate questions",
    "instruction": "question",
    "response": "answer",
}


class DistilConfig(GenerateConfig):
    candidates: int = Field(5, ge=1, description="Number of candidate questions.")


@step("distil")
class Distil(BaseGenerate[DistilConfig]):
    """Asks for four parts in tags; an answer without all four is retried (ALLaVA, section 3.2).

    Writes `caption`, `candidates` (a list), `instruction` and `response`.
    """

    @property
    def writes(self) -> frozenset[str]:
        return frozenset(_FIELDS)

    def written(self, text: str) -> dict[str, Any]:
        found: dict[str, Any] = {field: parse_tag(text, tag) for field, tag in _FIELDS.items()}
        candidates, questions = parse_lines(found["candidates"]), parse_lines(found["instruction"])
        if len(candidates) != self.config.candidates:
            raise AskAgain(f"{len(candidates)} candidate questions, not {self.config.candidates}")
        if len(questions) != 1:
            raise AskAgain(f"{len(questions)} chosen questions, not one")
        return {**found, "candidates": candidates, "instruction": _chosen(questions[0], candidates)}


def _chosen(question: str, candidates: list[str]) -> str:
    """Returns the candidate that a model chose. Raises AskAgain if the question is not one of them."""
    best = max(candidates, key=lambda candidate: fuzz.ratio(_plain(question), _plain(candidate)))
    if (
        fuzz.ratio(_plain(question), _plain(best)) < _SAME
        or strange_words(question, best)
        or strange_words(best, question)
    ):
        raise AskAgain(f"the chosen question is not one of the candidates: {short(question)}")
    return best


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text.casefold()).strip()
