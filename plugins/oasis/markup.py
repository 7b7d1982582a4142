"""Removes markup from a text: special tokens, HTML, Markdown, labels, pictographs, control characters.

Each rule needs more than a single character, because texts contain the same characters: `2*3*4`, `__init__`, `C#`,
`<5 kg`. In a text without markup, only white space and the normal form (NFC) change.
"""

from __future__ import annotations

import re
import unicodedata

from mminf.step import lazy_pattern

_CJK = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"

# Tokens of chat templates and vocabularies. They contain no spaces, so that `a <| b |> c` is kept.
_TOKENS = lazy_pattern(
    r"<[|｜][^\s<>|｜]{1,40}[|｜]>|</?(?:s|img|image|video|audio|box|ref|quad)>|<0x[0-9A-Fa-f]{2}>", re.IGNORECASE
)
_THOUGHT = lazy_pattern(r"<(think(?:ing)?)>.*?</\1>", re.IGNORECASE | re.DOTALL)

# HTML: known names, and attributes with values; `<b and c>` is text.
_ATTRIBUTES = r"""(?:\s+[a-zA-Z][\w:-]*\s*=\s*(?:"[^"<>\n]*"|'[^'<>\n]*'|[^\s"'<>=]+))*\s*/?"""
_BLOCK_TAG = lazy_pattern(
    r"</?(?:p|br|hr|div|span|h[1-6]|ul|ol|li|table|thead|tbody|tr|td|th|pre|blockquote|center|font|figure|"
    r"figcaption|section|"
    rf"article|header|footer|html|body|head|title|caption|details|summary|small|big){_ATTRIBUTES}>|<!--.*?-->",
    re.IGNORECASE,
)
# Only in pairs: a single `<b>` may be a variable.
_PAIRED_TAG = lazy_pattern(
    rf"<(b|i|u|a|q|em|strong|del|ins|mark|code|kbd|cite){_ATTRIBUTES}>([^<>]*)</\1\s*>", re.IGNORECASE
)
_RAISED = lazy_pattern(r"<(sup|sub)>([0-9+-]{1,4})</\1>", re.IGNORECASE)
_RAISE = {
    "sup": str.maketrans("0123456789+-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻"),
    "sub": str.maketrans("0123456789+-", "₀₁₂₃₄₅₆₇₈₉₊₋"),
}

# A link needs a target that looks like an address, so that `f[0](x)` and `[1](2)` are kept. Bare addresses are removed,
# except in quotes, where they are text of the image. Addresses end before punctuation and other scripts.
_LINK = lazy_pattern(r"!?(?<![\w\]])\[([^\[\]\n]*)\]\((?=[^()\s]*[./#:])[^()\s]*\)")
_ADDRESS = lazy_pattern(r"""(?<!["'“‘「`(\w])https?://[\w.~:/?#@!$&*+,;=%-]*[\w/#=&%]""", re.ASCII)

# Emphasis opens at the start of a word and closes at the end of a word; code in backticks is kept.
_OPENS = rf"(?:^|(?<=[\s(\[{{\"'“‘《「—–:：,，.。;；!?！？/{_CJK}]))"
_CLOSES = rf"(?=$|[\s)\]}}\"'”’》」—–:：,，.。;；!?！？/{_CJK}])"
_EMPHASIS = lazy_pattern(
    rf"(?P<code>`[^`\n]+`)"
    rf"|{_OPENS}(?P<stars>\*{{1,3}})(?=[^\s*])(?P<starred>[^*\n]*[^\W\d_][^*\n]*?)(?<=[^\s*])(?P=stars){_CLOSES}"
    rf"|{_OPENS}\*\*(?=[^\s*])(?P<bold>[^*\n]+)(?<=[^\s*])\*\*{_CLOSES}"
    # One word between underscores is a name: `__init__`.
    rf"|{_OPENS}_{{2,3}}(?=[^\s_])(?P<lined>[^_\n]*\s[^_\n]*)(?<=[^\s_])_{{2,3}}{_CLOSES}",
    re.MULTILINE,
)
_HEADING = lazy_pattern(r"^#{1,6}\s+(?=\S)|^(?:>\s?)*>\s+(?=[^\W\d]|[\"'“*])")
_RULE = lazy_pattern(r"^(?:[-=*_]\s?){3,}$")
_LABEL = lazy_pattern(
    r"^\s*(?:\*\*)?(?:(?:image\s+)?caption|(?:image\s+)?description|answer|assistant|(?:图片|图像)?(?:描述|"
    r"标题|说明))(?:\*\*)?\s*[:：](?:\*\*)?\s*",
    re.IGNORECASE,
)
# Repeated punctuation. Repeated asterisks, stars, currency signs and box characters have a meaning ("****", "★★★★").
_SHOUTS = lazy_pattern(r"([!?,;:，。！？；：、])\1{3,}")
_DASHES = lazy_pattern(r"([-=~.—…·])\1{3,}")
_FENCE = lazy_pattern(r"(^```[^\n`]*\n.*?^```[ \t]*$)", re.MULTILINE | re.DOTALL)

# Pictographs: Unicode's emoji, except letters, ratings, ticks and gender signs.
_PICTOGRAPHS = (
    (0x1F000, 0x1FAFF), (0x2600, 0x2604), (0x2607, 0x2610), (0x2613, 0x263F), (0x2641, 0x2641), (0x2643, 0x265F),
    (0x2670, 0x2712), (0x2719, 0x2767), (0x2795, 0x2797), (0x27B0, 0x27BF), (0x2B50, 0x2B55), (0x231A, 0x231B),
    (0x23E9, 0x23FA), (0x3030, 0x3030), (0x303D, 0x303D), (0xFE0E, 0xFE0F), (0x20E3, 0x20E3), (0xE0020, 0xE007F),
)  # fmt: skip
_STRIPPED = frozenset({"Cc", "Cf", "Co", "Cs"})  # control, format, private, surrogates
_SIGNS_OF_FORMAT = frozenset(
    [*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD]
)  # visible Arabic, Syriac and Kaithi signs
# Joiners and the Mongolian vowel separator: part of the spelling after letters of these scripts.
_JOINERS = frozenset("\u200b\u200c\u200d\u180e")
_JOINED = (
    (0x600, 0x8FF),
    (0x900, 0xEFF),
    (0x1000, 0x109F),
    (0x1780, 0x18AF),
    (0xA8E0, 0xAAFF),
    (0xFB50, 0xFEFC),
    (0x11000, 0x114FF),
)


def clean(text: str) -> str:
    """Returns a text without markup. A text without markup is returned unchanged."""
    text = unicodedata.normalize("NFC", re.sub(r"\r\n?|[\v\f\x85]", "\n", text)).replace("\ufffd", "")
    while (cleaner := _clean_once(text)) != text:  # each pass removes something, so the loop ends
        text = cleaner
    return text


def _clean_once(text: str) -> str:
    text = _strip_characters(_TOKENS.sub(" ", _THOUGHT.sub(" ", text)))
    parts = _FENCE.split(text)
    parts[::2] = [_clean_prose(part) for part in parts[::2]]
    text = "\n".join(part for part in parts if part)
    return _LABEL.sub("", text).strip()


def _clean_prose(text: str) -> str:
    text = _RAISED.sub(lambda found: found[2].translate(_RAISE[found[1].lower()]), text)
    text = _PAIRED_TAG.sub(r"\2", _BLOCK_TAG.sub(" ", text))
    text = _ADDRESS.sub("", _LINK.sub(r"\1", text))
    text = _DASHES.sub(lambda found: found[1] * 3, _SHOUTS.sub(r"\1", text))
    lines = (_HEADING.sub("", " ".join(line.split())) for line in text.split("\n"))
    text = "\n".join(line for line in lines if line and not _RULE.match(line))
    return _EMPHASIS.sub(lambda found: found["code"] or found["starred"] or found["bold"] or found["lined"], text)


def _strip_characters(text: str) -> str:
    kept: list[str] = []
    for char in text:
        code = ord(char)
        if char in _JOINERS:
            if kept and _is_joined(kept[-1]):
                kept.append(char)
        elif char in "\n\t" or code in _SIGNS_OF_FORMAT or not (_is_stripped(char) or _lies_in(code, _PICTOGRAPHS)):
            kept.append(char)
    return "".join(kept)


def _is_stripped(char: str) -> bool:
    return unicodedata.category(char) in _STRIPPED


def _is_joined(char: str) -> bool:
    return unicodedata.category(char)[0] in "LM" and _lies_in(ord(char), _JOINED)


def _lies_in(code: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= code <= last for first, last in ranges)


def letters_of(text: str) -> int:
    """Returns the number of letters, including the vowel signs and joiners that belong to them."""
    return sum(unicodedata.category(char)[0] in "LM" or char in _JOINERS for char in text)


def split_words(text: str) -> list[str]:
    """Returns a text's words and numbers.

    A Chinese, Japanese or Korean character counts as a word. Three letters of Thai, Lao, Burmese or Khmer count as a
    word, because these scripts have no spaces.
    """
    bare = "".join(char for char in text if unicodedata.category(char)[0] != "M" and char not in _JOINERS)
    return re.findall(rf"[{_CJK}]|[{_UNSPACED}]{{1,3}}|[^\W\d_{_CJK}{_UNSPACED}]+|\d+", bare)
