"""`refusal`: drops texts in which the model refuses to answer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mminf.step import Context, Drop, Names, Outcome, Record, Step, StepConfig, step

from .refusals import find_refusal
from .texts import as_text, shorten


class RefusalConfig(StepConfig):
    """Settings of `refusal`."""

    reads: Names = Field(description="Fields with the texts.")
    partial: Literal["keep", "drop"] = Field(
        "keep",
        description='A text that refuses and then answers: "I can\'t identify the man, but he smiles."',
    )


@step("refusal")
class RefusalFilter(Step[RefusalConfig]):
    """Drops texts that begin with a refusal: "I'm sorry, but I can't assist with that", "As an AI, I'm unable to ...".

    Reads English and Chinese. A refusal speaks of what the model can or may do. What is said of the image is an answer,
    also "I can't see any dogs in this image"; so is a text that only quotes such words.
    """

    gate = True

    async def run(self, record: Record, ctx: Context) -> Outcome:
        """Drops the record if one of its texts is a refusal."""
        for name in self.config.reads:
            found = find_refusal(as_text(record[name]))
            if found is not None and not (found.partial and self.config.partial == "keep"):
                return Drop(f"{name} refuses: {shorten(found.quote)!r}")
        return {}
