"""`respond`: answers the record's instruction, with its images."""

from __future__ import annotations

from pydantic import Field

from mminf.step import BaseGenerate, GenerateConfig, Sampling, step


class RespondConfig(GenerateConfig):
    """Settings of `respond`."""

    reads: str | None = Field("instruction", description="Field with the instruction.")
    sampling: Sampling = Field(
        default_factory=lambda: Sampling(max_tokens=2048), description="Sampling parameters; greedy by default."
    )


@step("respond")
class Respond(BaseGenerate[RespondConfig]):
    """Answers the record's instruction, with its images in the prompt (Oasis, section 3.3)."""
