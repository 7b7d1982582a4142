"""`clean_caption`: takes out of a sampled caption what does not belong there, and drops what is garbled."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from pydantic import Field

from mminf.recipe.config import StepConfig
from mminf.record import Record
from mminf.step.base import Context, Drop, Outcome, Step, step

_TOKENS = re.compile(
    r"<\|[^<>|\n]{1,40}\|>|</?(?:s|img|image|video|audio|box|ref|quad|think)>|<0x[0-9A-Fa-f]{2}>", re.I
)
_HTML = re.compile(r"</?[a-zA-Z][^<>\n]{0,80}>")
_LABEL = re.compile(
    r"^\s*(?:\*\*)?(?:(?:image\s+)?caption|description|answer|assistant|(?:图片|图像)?(?:描述|标题|说明))(?:\*\*)?\s*[:：](?:\*\*)?\s*",
    re.I,
)
_LINK = re.compile(r"!?\[([^\[\]\n]*)\]\([^()\s]*\)|https?://\S+")
_EMPHASIS = re.compile(r"(\*{1,3}|_{2,3}|`)(?=\S)([^*_`\n]+?)(?<=\S)\1")
_KEPT = frozenset("\n\t°℃℉©®™№")
_STRIPPED = frozenset({"Cc", "Cf", "Co", "Cs", "So"})  # control, format, private, surrogates, pictographs
_RUN = re.compile(r"([^\w\s])\1{3,}")


class CleanCaptionConfig(StepConfig):
    reads: str = Field("sampled_text", description="Field with the caption.")
    writes: str = Field("caption", description="Field for the clean caption.")
    least_words: int = Field(5, ge=1, description="Shorter captions are dropped; a CJK character is a word.")
    most_repeated: float = Field(
        0.3, gt=0, le=1, description="Dropped where more of its 4-grams than this are repeats."
    )
    least_letters: float = Field(
        0.6, ge=0, le=1, description="Dropped where fewer of its visible characters are letters."
    )


@step("clean_caption")
class CleanCaption(Step[CleanCaptionConfig]):
    """Strips tokens, tags, links, labels and control characters off a caption; drops it where that is not enough.

    The rules by which Oasis recycles captions (section on data recycling); they are not published, these are our own.
    """

    gate = True

    async def run(self, record: Record, ctx: Context) -> Outcome:
        text = clean(str(record[self.config.reads]))
        words = re.findall(r"[^\W\d_]+|\d+|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]", _spaced(text))
        if len(words) < self.config.least_words:
            return Drop(f"garbled: {len(words)} words are left")
        visible = [char for char in text if not char.isspace()]
        letters = sum(char.isalpha() for char in visible) / len(visible)
        if letters < self.config.least_letters:
            return Drop(f"garbled: {letters:.0%} letters")
        grams = Counter(zip(*(words[start:] for start in range(4)), strict=False))
        repeated = 1 - len(grams) / max(1, grams.total())
        if repeated > self.config.most_repeated:
            return Drop(f"garbled: {repeated:.0%} is repetition")
        return {self.config.writes: text}


def clean(text: str) -> str:
    """Returns a caption without what is none."""
    text = unicodedata.normalize("NFC", text).replace("\ufffd", "")
    text = _LINK.sub(lambda found: found[1] or "", _HTML.sub(" ", _TOKENS.sub(" ", text)))
    text = "".join(char for char in text if char in _KEPT or unicodedata.category(char) not in _STRIPPED)
    text = _RUN.sub(lambda found: found[1], text)
    lines = [" ".join(line.strip().lstrip("#>").split()) for line in text.splitlines()]
    text = "\n".join(line for line in lines if line)
    return _LABEL.sub("", _EMPHASIS.sub(r"\2", text)).strip()


def _spaced(text: str) -> str:
    return re.sub(r"([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])", r" \1 ", text)
