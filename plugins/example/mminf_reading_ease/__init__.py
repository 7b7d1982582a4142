"""`reading_ease`: how easy an English text is to read."""

from __future__ import annotations

import re

from mminf.step import Context, Outcome, Record, RecordError, Step, StepConfig, step


class ReadingEaseConfig(StepConfig):
    """Settings of `reading_ease`."""

    reads: str = "response"
    writes: str = "reading_ease"


@step("reading_ease")
class ReadingEase(Step[ReadingEaseConfig]):
    """Computes Flesch's reading ease (1948): 206.835 - 1.015 words per sentence - 84.6 syllables per word."""

    async def run(self, record: Record, ctx: Context) -> Outcome:
        """Writes the score. Raises RecordError if the text has no English words."""
        text = record.text(self.config.reads)
        words = re.findall(r"[A-Za-z']+", text)
        if not words:
            raise RecordError(f"field {self.config.reads!r} has no English words")
        sentences = max(1, len(re.findall(r"[.!?]+(?:\s|$)", text)))
        syllables = sum(max(1, len(re.findall(r"[aeiouy]+", word.lower().removesuffix("e")))) for word in words)
        ease = 206.835 - 1.015 * len(words) / sentences - 84.6 * syllables / len(words)
        return {self.config.writes: round(ease, 2)}
