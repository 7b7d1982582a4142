"""`no_leak`: drops what speaks of the text that stood in for the image."""

from __future__ import annotations

import re

from pydantic import Field

from mminf.config import Names
from mminf.step import Context, Outcome, Record, Step, StepConfig, step
from mminf.step.base import Drop

_SOURCE = r"(?:captions?|descriptions?|passages?|(?:given|provided|above) texts?)"
_OF_IT = r"(?:(?:the|this|that|its|given|provided|above|image|picture|photo)\s+)+"
_SAYS = r"(?:mention|state|describe|note|indicate|suggest|specif|imply|implie|highlight|emphasi)\w*"
_LEAK = re.compile(
    rf"\b{_OF_IT}(?:image\s+|picture\s+)?{_SOURCE}\b"
    rf"|\bthe\s+text\s+(?:\w+\s+)?{_SAYS}\b"
    rf"|\b(?:mentioned|described|stated)\s+in\s+the\s+text\b"
    r"|(?:图片|图像|上述|给定|该|这段|以上)(?:的)?(?:描述|标题|说明文字|文本)|描述中(?:提到|说|指出|写)|文中提到",
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
