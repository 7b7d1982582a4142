"""`distil`: caption, candidate questions, question and answer, all from one answer of a model."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from mminf.errors import AskAgain
from mminf.step.base import step
from mminf.step.generate import BaseGenerate, GenerateConfig
from mminf.step.parse import parse_lines, parse_tag

_FIELDS = {
    "caption": "description",
    "candidates": "candidate questions",
    "instruction": "question",
    "response": "answer",
}


class DistilConfig(GenerateConfig):
    candidates: int = Field(5, ge=1, description="How many questions are to be proposed.")


@step("distil")
class Distil(BaseGenerate[DistilConfig]):
    """Asks for four parts in tags, and takes all of them or none (ALLaVA, section 3.2).

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
            raise AskAgain(f"{len(questions)} questions were chosen, not one")
        return {**found, "candidates": candidates, "instruction": questions[0]}
