"""`classify`: tells instructions from captions, and takes the instruction out of what a hooked model sampled."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field

from mminf.errors import AskAgain
from mminf.record import Record
from mminf.step.base import Context, Drop, Outcome, step
from mminf.step.prompt import PromptConfig, PromptStep

_INSTRUCTION = re.compile(r"^[\s>#*_`\"'-]*(?:answer[\s*_]*[:：]\s*)?[*_`\"'#\s]*instruction[\s*_`]*[:：]", re.I | re.M)
_NONE = re.compile(r"\bNO[_ -]?INST(?:RUCTION)?\b", re.I)
# A model that goes on writing after its answer begins another example in the prompt's own form.
_NEXT_EXAMPLE = re.compile(r"\n\s*(?:\[begin of text\]|text\s*[:：]|example \d)", re.I)


class ClassifyConfig(PromptConfig):
    reads: str = Field("sampled_text", description="Field with the sampled text.")
    writes: str = Field("instruction", description="Field for the instruction.")
    template: str | None = Field("oasis/classify.jinja", description="Template file.")
    captions: Literal["drop", "keep"] = Field(
        "drop", description="What becomes of captions; kept ones have a `kind` and no instruction."
    )


@step("classify")
class Classify(PromptStep[ClassifyConfig]):
    """Keeps sampled texts that hold an instruction, and takes one out of each; drops captions.

    Writes the instruction, and `kind`: `instruction` or `caption` (Oasis, section 3.2).
    """

    @property
    def gate(self) -> bool:  # type: ignore[override]
        return self.config.captions == "drop"

    @property
    def writes(self) -> frozenset[str]:
        return frozenset([self.config.writes, "kind"])

    async def run(self, record: Record, ctx: Context) -> Outcome:
        answer = await self.ask(record, ctx)
        if answer.finish_reason == "length":
            raise AskAgain("the classifier's answer was cut off")
        instruction = parse_instruction(answer.text)
        if instruction is None:
            found = {"kind": "caption"}
            return found if self.config.captions == "keep" else Drop("caption: holds no instruction", found)
        return {self.config.writes: instruction, "kind": "instruction"}


def parse_instruction(text: str) -> str | None:
    """Returns the instruction that a classifier names, or None where it says that there is none.

    Raises:
        AskAgain: if it says neither, or names an empty instruction.
    """
    found = _INSTRUCTION.search(text)
    if found is None:
        if _NONE.search(text):
            return None
        raise AskAgain(f"the classifier named no instruction and did not say NO_INST: {text[:80]!r}")
    rest = _NEXT_EXAMPLE.split(text[found.end() :], maxsplit=1)[0]
    instruction = rest.strip().lstrip("*_` ").strip()
    if instruction.startswith("[") and instruction.endswith("]") and instruction.count("[") == 1:
        instruction = instruction[1:-1].strip()  # the brackets of the form that the prompt shows
    if _NONE.fullmatch(instruction.strip(".*_`\"' ")):
        return None
    if not instruction:
        raise AskAgain("the classifier named an empty instruction")
    return instruction
