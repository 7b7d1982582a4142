"""`parts`: cuts a text into paragraphs that a judge can look at one by one."""

from __future__ import annotations

import re

from pydantic import Field

from mminf.errors import RecordError
from mminf.step import Context, Outcome, Record, Step, StepConfig, step

# Behind the end of a sentence; an abbreviation or a decimal point is followed by no capital, quote or digit.
_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9\"“'(\[])|(?<=[.!?][\"'”’)\]])\s+|(?<=[。！？])(?![”’」』）])")


class PartsConfig(StepConfig):
    reads: str = Field("caption", description="Field with the text.")
    writes: str = Field("parts", description="Field for the list of its parts.")
    sentences: int = Field(3, ge=1, description="Paragraphs with more sentences are cut into parts of so many.")


@step("parts")
class Parts(Step[PartsConfig]):
    """Cuts a text at blank lines, and long paragraphs after every few sentences. Nothing of the text is lost."""

    async def run(self, record: Record, ctx: Context) -> Outcome:
        parts = split_parts(str(record[self.config.reads]), self.config.sentences)
        if not parts:
            raise RecordError(f"field {self.config.reads!r} is empty")
        return {self.config.writes: parts}


def split_parts(text: str, sentences: int) -> list[str]:
    """Returns the paragraphs of a text, each of at most so many sentences."""
    parts = []
    for paragraph in re.split(r"\n\s*\n", text):
        found = [sentence.strip() for sentence in _END.split(" ".join(paragraph.split())) if sentence.strip()]
        parts += [" ".join(found[start : start + sentences]) for start in range(0, len(found), sentences)]
    return parts
