"""`refusal`: drops texts in which the model refuses to answer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mminf.step import Context, Drop, Names, Outcome, Record, Step, StepConfig, step

from .refusals import find_refusal
from .texts import shorten, texts_of


class RefusalConfig(StepConfig):
    """Settings of `refusal`."""

    reads: Names = Field(description="Fields with the texts, or lists of texts.")
    partial: Literal["keep", "drop"] = Field(
        "keep",
        description='Keep or drop texts that refuse and then answer: "I can\'t identify the man, but he smiles."',
    )


@step("refusal")
class RefusalFilter(Step[RefusalConfig]):
    """Drops texts that begin with a refusal: "I'm sorry, but I can't assist with that", "As an AI, I'm unable to ...".

    Supports English and Chinese. A refusal is about what the model can or may do. A statement about the image is an
    answer, for example "I can't see any dogs in this image". A text that only quotes a refusal is an answer.
    """

    @property
    def gate(self) -> bool:
        return True

    async def run(self, record: Record, ctx: Context) -> Outcome:
        """Drops the record if one of its texts is a refusal."""
        for name in self.config.reads:
            for text in texts_of(record[name]):
                found = find_refusal(text)
                if found is not None and not (found.partial and self.config.partial == "keep"):
                    return Drop(f"{name} refuses: {shorten(found.quote)!r}")
        return {}
