"""`parts`: splits a text into parts that a judge can check one by one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from mminf.step import Context, Outcome, Record, RecordError, Step, StepConfig, lazy_pattern, step

_END = lazy_pattern(r"[.!?]+[\"'”’)\]]*(?=\s+[A-Z0-9\"“'(\[])|[。！？]+[”’」』）]*")
_SHORT = lazy_pattern(r"(?:\b(?:Dr|Mr|Mrs|Ms|St|Prof|No|vs|Jr|Sr|Fig|etc|e\.g|i\.e)|\b[A-Z])\.$")
_PARAGRAPH = lazy_pattern(r"\n\s*\n")


class PartsConfig(StepConfig):
    """Settings of `parts`."""

    renamed: ClassVar[Mapping[str, str]] = {"sentences": "max_sentences"}
    reads: str = Field("caption", description="Field with the text.")
    writes: str = Field("parts", description="Field for the list of parts.")
    max_sentences: int = Field(3, ge=1, description="Maximum number of sentences per part.")


@step("parts")
class Parts(Step[PartsConfig]):
    """Splits a text at blank lines and after `max_sentences` sentences; the parts concatenated are the text."""

    async def run(self, record: Record, ctx: Context) -> Outcome:
        """Writes the list of parts. Raises RecordError if the text is empty."""
        parts = split_parts(record.text(self.config.reads), self.config.max_sentences)
        if not parts:
            raise RecordError(f"field {self.config.reads!r} is empty")
        return {self.config.writes: parts}


def split_parts(text: str, sentences: int) -> list[str]:
    """Returns the parts of a text: at most one paragraph and `sentences` sentences each; joined, they are the text."""
    cuts = []
    for start, stop in _spans(text, _PARAGRAPH):
        count = 0
        for end in (found.end() for found in _END.finditer(text, start, stop)):
            if _SHORT.search(text, start, end):
                continue
            count += 1
            if count % sentences == 0:
                cuts.append(end)
        cuts.append(stop)
    ends = sorted(set(cuts))
    parts = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return [part for part in parts if part.strip()]


def _spans(text: str, between: re.Pattern[str]) -> list[tuple[int, int]]:
    """Returns the spans of a text between the matches of a pattern."""
    gaps = [(found.start(), found.end()) for found in between.finditer(text)]
    return list(zip([0, *(end for _, end in gaps)], [*(start for start, _ in gaps), len(text)], strict=True))
