"""`classify`: separates sampled instructions from captions, and extracts the instruction."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mminf.step import (
    Context,
    Draft,
    Drop,
    Names,
    Outcome,
    PromptConfig,
    PromptStep,
    Record,
    TemplateFolders,
    UnusableAnswer,
    cut_off,
    step,
)

from .reading import before_verdict, instructions_in, parse_instruction, read_answer

_SHOWN = "sampled_text"
"""Name of the sampled text in the template, regardless of the field that contains it."""

__all__ = ["Classify", "ClassifyConfig", "parse_instruction"]


class ClassifyConfig(PromptConfig):
    """Settings of `classify`."""

    reads: str = Field(_SHOWN, description="Field with the sampled text; the template shows it as `sampled_text`.")
    writes: str = Field("instruction", description="Field for the instruction.")
    template: str | None = Field("oasis/classify.jinja", description="Template file.")
    ends: Names = Field(
        default_factory=lambda: ["\n[Begin of Text]"],
        description="Stop strings; after them, the model would continue with another example.",
    )
    captions: Literal["drop", "keep"] = Field(
        "drop", description="Drop or keep captions; a kept caption has a `kind` and no instruction."
    )


@step("classify")
class Classify(PromptStep[ClassifyConfig]):
    """Extracts the instruction of each sampled text; drops captions, which have none.

    Writes the instruction, and `kind`: `instruction` or `caption` (Oasis, section 3.2).
    """

    @property
    def gate(self) -> bool:
        """Whether captions are dropped."""
        return self.config.captions == "drop"

    @property
    def writes(self) -> frozenset[str]:
        """The field for the instruction, and `kind`."""
        return frozenset([self.config.writes, "kind"])

    @property
    def reads(self) -> frozenset[str]:
        return (super().reads - {_SHOWN}) | {self.config.reads}

    def __init__(self, config: ClassifyConfig, folders: TemplateFolders) -> None:
        super().__init__(config, folders)
        templates = [self.template, *self.translations.values()]
        self.examples = [example for template in templates for example in instructions_in(template.source)]

    def drafts(self, record: Record) -> tuple[Draft, ...]:
        return self.draft_for({**record.fields, _SHOWN: record[self.config.reads]})

    async def run(self, record: Record, ctx: Context) -> Outcome:
        """Writes the instruction, or drops the caption. Raises UnusableAnswer if the answer can't be read."""
        answer = await self.ask(record, ctx)
        if not answer.complete and answer.finish_reason != "length":
            raise UnusableAnswer(cut_off(answer))
        sampled = record[self.config.reads]
        reading = read_answer(answer.text, str(sampled), self.examples)
        if not answer.complete and not reading.ended:
            raise UnusableAnswer(cut_off(answer))
        if reading.instruction is None:
            self.echo.refuse(before_verdict(answer.text))
            found = {"kind": "caption"}
            return found if self.config.captions == "keep" else Drop("caption: contains no instruction", found)
        return {self.config.writes: reading.instruction, "kind": "instruction"}
