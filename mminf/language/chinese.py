"""Tells the language of a text by its script, for prompts in the language of the data."""

from __future__ import annotations

from typing import Literal, TypeAlias

from mminf.lazy import lazy_pattern

Language: TypeAlias = Literal["zh"]

_HAN = lazy_pattern(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
_OTHER_CJK = lazy_pattern(r"[\u3040-\u30ff\u31f0-\u31ff\uac00-\ud7af\u1100-\u11ff]")
_WORD = lazy_pattern(r"[^\W\d_]+")
_MARKUP = lazy_pattern(r"<[^<>]{0,200}>|https?://\S+|`[^`]*`")


def is_chinese(text: str) -> bool:
    """Returns whether a text is Chinese: half of its words are Chinese characters, and it has no kana or hangul.

    A character counts as a word, because Chinese texts often contain names, units and code in Latin letters. Tags,
    addresses and code in backticks don't count.
    """
    bare = _MARKUP.sub(" ", text)
    if _OTHER_CJK.search(bare):
        return False
    han = len(_HAN.findall(bare))
    others = len(_WORD.findall(_HAN.sub(" ", bare)))
    return 0 < han >= others


def language_of(text: str) -> Language | None:
    """Returns `zh` for a Chinese text, and None for any other."""
    return "zh" if is_chinese(text) else None
