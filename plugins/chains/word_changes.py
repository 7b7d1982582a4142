"""`word_changes`: the number of words in which two texts differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field
from rapidfuzz.distance import Levenshtein

from mminf.step import Context, Outcome, Record, Step, StepConfig, lazy_pattern, step

_WORDS = lazy_pattern(r"[^\W_]+(?:['’-][^\W_]+)*")
_CJK = lazy_pattern(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


class WordChangesConfig(StepConfig):
    """Settings of `word_changes`."""

    renamed: ClassVar[Mapping[str, str]] = {"first": "reads", "second": "reads"}
    reads: list[str] = Field(min_length=2, max_length=2, description="Fields with the two texts.")
    writes: str = Field("word_changes", description="Field for the number of changed words.")


@step("word_changes")
class WordChanges(Step[WordChangesConfig]):
    """Counts the words that were replaced, inserted or deleted between two texts; ignores case and punctuation.

    VL-Thinking keeps a rewritten text only if at most 15 words changed (arXiv 2504.11468).
    """

    async def run(self, record: Record, ctx: Context) -> Outcome:
        """Writes the number of words by which the texts differ."""
        first, second = (record.text(name) for name in self.config.reads)
        return {self.config.writes: count_changes(first, second)}


def count_changes(first: str, second: str) -> int:
    """Returns the edit distance in words; a Chinese, Japanese or Korean character counts as a word."""
    return int(Levenshtein.distance(_words(first), _words(second)))


def _words(text: str) -> list[str]:
    return _WORDS.findall(_CJK.sub(lambda found: f" {found[0]} ", text).casefold())
