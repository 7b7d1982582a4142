"""`no_leak`: drops what speaks of the text that stood in for the image."""

from __future__ import annotations

import re

from pydantic import Field

from mminf.config import Names
from mminf.step import Context, Outcome, Record, Step, StepConfig, step
from mminf.step.base import Drop

_SOURCE = r"(?:captions?|descriptions?|(?:given|provided|above)\s+(?:texts?|passages?|information))"
_OF_IT = r"(?:the|this|that|its|given|provided|above)\s+(?:[a-z]+\s+){0,3}?"
_SAYS = r"(?:mention|state|says|describe|note|indicate|suggest|specif|imply|implie|highlight|emphasi)\w*"
_LEAK = re.compile(
    rf"\b{_OF_IT}{_SOURCE}\b"
    rf"|\bthe\s+(?:text|passage)\s+(?:\w+\s+)?{_SAYS}\b(?!\s+\w+\s+on\b)"
    r"|\b(?:mentioned|described|stated)\s+in\s+the\s+(?:text|passage)\b"
    r"|(?:图片|图像|上述|给定|这段|以上|文字)的?(?:描述|标题|说明文字|文本)(?![了着的为出])|(?:根据|依据|按照|从)\w{0,4}描述(?![了着])"
    r"|描述(?:中|里|提到|指出)|文中提到",
    re.IGNORECASE,
)


class NoLeakConfig(StepConfig):
    reads: Names = Field(description="Fields that must not speak of a caption or description as their source.")


@step("no_leak")
class NoLeak(Step[NoLeakConfig]):
    """Drops what says "the caption mentions" and the like: whoever sees the image knows of no caption.

    Text that was made from a caption gives itself away so, as rows of the released Unicorn data do.
    """

    gate = True

    async def run(self, record: Record, ctx: Context) -> Outcome:
        for name in self.config.reads:
            if (found := _LEAK.search(str(record[name]))) is not None:
                return Drop(f"{name} speaks of its source: {found[0]!r}")
        return {}
