"""`no_leak`: drops what speaks of the text that stood in for the image."""

from __future__ import annotations

from pydantic import Field

from mminf.step import Context, Drop, Names, Outcome, Record, Step, StepConfig, step

from .leaks import find_leak
from .leaks_en import SOURCES, Source
from .texts import as_text, shorten


class NoLeakConfig(StepConfig):
    """Settings of `no_leak`."""

    reads: Names = Field(description="Fields that must not speak of a text as their source.")
    sources: list[Source] = Field(
        default_factory=lambda: list(SOURCES),
        description="Kinds of sources: `caption` (description), `text` (passage), `information` (details, context), "
        "`hints` (tags, labels, OCR, detections, metadata), `prompt`, `unnamed` (as described, it is mentioned that).",
    )


@step("no_leak")
class NoLeak(Step[NoLeakConfig]):
    """Drops what attributes its knowledge to a text ("the caption mentions", "based on the tags"), not to the image.

    Text that was made from a caption gives itself away so, as rows of the released Unicorn data do. Text that is in the
    image ("the caption of the cartoon", "the label on the bottle") is kept; a doubtful case is dropped.
    """

    gate = True
    version = 2

    async def run(self, record: Record, ctx: Context) -> Outcome:
        """Drops the record if one of its texts refers to a source."""
        for name in self.config.reads:
            found = find_leak(as_text(record[name]), self.config.sources)
            if found is not None:
                return Drop(f"{name} refers to its source: {shorten(found)!r}")
        return {}
