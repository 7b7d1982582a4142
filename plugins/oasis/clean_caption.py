"""`clean_caption`: removes markup from a sampled caption, and drops garbled captions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from mminf.step import Context, Drop, Outcome, Record, Step, StepConfig, step

from .markup import clean, letters_of, split_words

_OPEN_THOUGHT = re.compile(r"</?think(?:ing)?>", re.IGNORECASE)


class CleanCaptionConfig(StepConfig):
    """Settings of `clean_caption`."""

    renamed: ClassVar[Mapping[str, str]] = {
        "least_words": "min_words",
        "most_repeated": "max_repetition",
        "least_letters": "min_letters",
    }
    reads: str = Field("sampled_text", description="Field with the caption.")
    writes: str = Field("caption", description="Field for the clean caption.")
    min_words: int = Field(5, ge=1, description="Minimum number of words; a CJK character is a word.")
    max_repetition: float = Field(0.3, gt=0, le=1, description="Maximum share of 4-grams that are repeats.")
    min_letters: float = Field(0.6, ge=0, le=1, description="Minimum share of visible characters that are letters.")


@step("clean_caption")
class CleanCaption(Step[CleanCaptionConfig]):
    """Removes tokens, tags, links, labels and control characters from a caption; drops garbled captions.

    Oasis does not publish its rules for caption recycling; these rules are our own. Only markup is removed: asterisks,
    underscores, hashes and angle brackets that are part of a text are kept.
    """

    version = 2

    @property
    def gate(self) -> bool:
        return True

    async def run(self, record: Record, ctx: Context) -> Outcome:
        """Writes the clean caption, or drops the record if too little of it is left."""
        text = clean(record.text(self.config.reads))
        if _OPEN_THOUGHT.search(text):
            return Drop("garbled: a <think> tag is not closed")
        words = split_words(text)
        if len(words) < self.config.min_words:
            return Drop(f"garbled: {len(words)} words")
        visible = [char for char in text if not char.isspace()]
        letters = letters_of(text) / len(visible)
        if letters < self.config.min_letters:
            return Drop(f"garbled: {letters:.0%} letters")
        grams = Counter(zip(*(words[start:] for start in range(4)), strict=False))
        repeated = 1 - len(grams) / max(1, grams.total())
        if repeated > self.config.max_repetition:
            return Drop(f"garbled: {repeated:.0%} repetition")
        return {self.config.writes: text}
