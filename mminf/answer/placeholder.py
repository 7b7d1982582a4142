"""Finds placeholders: parts of a prompt's form that a model copies instead of writing content."""

from __future__ import annotations

import re

from mminf.answer.clean import short, unwrap, words
from mminf.errors import UnusableAnswer
from mminf.lazy import lazy_pattern

# Words of which a form's own words consist, and those that name its parts: "the new prompt", "your answer here",
# "the five questions, one per line".
_FORM = frozenset(
    words(
        "a actual an and any be best better chosen complete conversation correct detailed drawn each eight else "
        "example final five for format four from full given go goes here image improved in input inserted is it item "
        "items json key label letter letters line lines list long more name new nothing number object of old on one "
        "only or output per placeholder real same short single six some string summary taken ten text that the there "
        "this three title to took topic turn turns two value values was with word words written wrong you your"
    )
)
_PARTS = frozenset(
    words(
        "answer answers candidate candidates caption captions content description descriptions explanation insert "
        "instruction instructions placeholder prompt prompts question questions rationale reasoning reply request "
        "requests response responses thought thoughts"
    )
)
_DOTS = lazy_pattern(r"\A(?:[\s.…·_\-–—*#?]+|\s*[xX]{2,}\s*)\Z")
_NOTHING = frozenset(
    {
        "n/a",
        "na",
        "tbd",
        "todo",
        "null",
        "undefined",
        "nan",
        "lorem ipsum",
        "无",
        "待定",
        "省略",
        "略",
        "占位符",
        "n.a",
        "to be determined",
        "问题",
        "答案",
        "回答",
        "指令",
        "新指令",
        "描述",
        "提示词",
        "请在此填写",
    }
)
_CHINESE = lazy_pattern(
    r"\A(?:在此|此处|这里)?(?:填写|输入|插入|你的|您的|新的|该|这个)(?:的|新)?(?:问题|回答|答案|指令|描述|提示词|文本|内容|标题|选项)+\Z"
)
_FORMS = lazy_pattern(
    r"\$[a-z_]\w*|%s|\{\w*\}|distractor \w{1,5}|(?:one of )?a(?:[,/ ]+(?:or )?[b-h])+"
    r"|(?:(?:a|an|the|plausible|another|wrong|incorrect|sample|rewritten|evolved|candidate) )+"
    r"(?:answer|option|question|choice|instruction|prompt|caption)s?(?: (?:\d+|[a-d]))?"
    r"|(?:the )?(?:first|second|third|next|last) (?:question|instruction|prompt|candidate)"
    r"|(?:candidate )?(?:question|candidate) \d{1,2}|a\d|placeholder|(?:问题|选项|指令|答案)[\da-d一二三四五]"
    r"|(?:(?:a|the) )?question about the (?:image|picture|caption|text)"
    r"|(?:write|put|add|enter|fill in|type) (?:(?:the|your) )?(?:\w+ ){1,2}here|lorem ipsum.*"
)
# Instructions in the words of a form.
_SAYS = lazy_pattern(r"(?:answer (?:the|in)|insert an?|in response|choose|a prompt response)\b")
_ADDRESSES = lazy_pattern(r"\b(?:your|here)\b")
_NUMBERED = lazy_pattern(r"(?:q|question|answer|instruction|option|item|caption|prompt) ?(?:\d+|[a-d]|n)")
# Placeholders contain neither numbers nor other scripts.
_CONTENT = lazy_pattern(r"\d|[^\x00-\x7f’“”…–—]")
_MOST_WORDS = 9


def is_placeholder(text: str) -> bool:
    """Returns whether a text is a placeholder: "...", "the new prompt", "[your answer]"."""
    inner = unwrap(text, brackets=True)
    bare = inner.strip(" .:：。!")
    plain = bare.casefold()
    if not bare or _DOTS.match(inner) or _is_stand_in(plain, bare) or _FORMS.fullmatch(text.strip().casefold()):
        return True
    bracketed = _is_bracketed(text)
    if len(plain) == 1 or (not bracketed and _SAYS.match(plain) and not _ADDRESSES.search(plain)):
        return False
    return _NUMBERED.fullmatch(plain) is not None or _is_of_form_words(bare, bracketed)


def _is_stand_in(plain: str, bare: str) -> bool:
    """Returns whether the whole text is a known placeholder."""
    return plain in _NOTHING or _CHINESE.match(bare) is not None or _FORMS.fullmatch(plain) is not None


def _is_bracketed(text: str) -> bool:
    """Returns whether a text is in brackets, or names a part of a form in quotes."""
    first = text.strip()[:1]
    return first in "[<{(（【" or (first in '"`' and unwrap(text).strip("<>") in _PARTS)


def _is_of_form_words(bare: str, bracketed: bool) -> bool:
    """Returns whether a text consists only of a form's words."""
    found = re.findall(r"[a-z']+", bare.casefold())
    if not found or len(found) > _MOST_WORDS or bare.endswith("?") or _CONTENT.search(bare):
        return False
    if not all(word in _FORM or word in _PARTS for word in found):
        return False
    # A single word may be an answer, unless it is in brackets.
    return bracketed or (len(found) > 1 and not _PARTS.isdisjoint(found))


def require_content(text: str, what: str) -> str:
    """Returns the text. Raises UnusableAnswer if it is empty or a placeholder."""
    if not text.strip() or is_placeholder(text):
        raise UnusableAnswer(f"{what} is only a placeholder: {short(text)}" if text.strip() else f"{what} is empty")
    return text
