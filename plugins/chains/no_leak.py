"""`no_leak`: drops texts that mention the text that replaced the image in the prompt."""

from __future__ import annotations

from pydantic import Field

from mminf.step import Context, Drop, Names, Outcome, Record, Step, StepConfig, step

from .leaks import find_leak
from .leaks_en import SOURCES, Source
from .texts import as_text, shorten


class NoLeakConfig(StepConfig):
    """Settings of `no_leak`."""

    reads: Names = Field(description="Fields that must not mention a text as their source.")
    sources: list[Source] = Field(
        default_factory=lambda: list(SOURCES),
        description="Kinds of sources: `caption` (description), `text` (passage), `information` (details, context), "
        "`hints` (tags, labels, OCR, detections, metadata, other models), `prompt`, `unnamed` (as described, it is "
        "mentioned that).",
    )


@step("no_leak")
class NoLeak(Step[NoLeakConfig]):
    """Drops texts that attribute information to a text ("the caption mentions", "based on the tags"), not to the image.

    Texts that were made from captions contain such phrases, for example rows of the released Unicorn data. Mentions of
    text in the image ("the caption of the cartoon", "the label on the bottle") are kept. Ambiguous texts are dropped.
    """

    version = 3

    @property
    def gate(self) -> bool:
        return True

    async def run(self, record: Record, ctx: Context) -> Outcome:
        """Drops the record if one of its texts refers to a source."""
        for name in self.config.reads:
            found = find_leak(as_text(record[name]), self.config.sources)
            if found is not None:
                return Drop(f"{name} refers to its source: {shorten(found)!r}")
        return {}
