"""The Chinese side of the language: each sentence of the world in English and in Chinese.

A scene is described in English; Chinese texts are translations, word by word, of the English ones. Therefore the oracle
judges a Chinese text by its English translation. The texts on signs are the same in both languages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache

from .scene import COLOURS, NUMBERS, PLACES, SHAPES, SIZES, WORDS

_ONES = ("零", "一", "二", "三", "四", "五")
VALUES: dict[str, dict[str, str]] = {
    "colour": dict(zip(COLOURS, ("红色", "绿色", "蓝色", "黄色", "紫色", "黑色"), strict=True)),
    "shape": dict(zip(SHAPES, ("圆形", "正方形", "三角形", "星形"), strict=True)),
    "place": dict(zip(PLACES, ("左上角", "右上角", "左下角", "右下角"), strict=True)),
    "size": dict(zip(SIZES, ("小", "大"), strict=True)),
    "value": dict(zip(NUMBERS, _ONES, strict=True)),
    "count": {name: "两" if name == "two" else one for name, one in zip(NUMBERS, _ONES, strict=True) if name != "one"},
    "word": {word: word for word in WORDS},
}
_PATTERNS = {"digits": r"\d\d", "sign": r"[A-Z]|\d"}

# Chinese sentences are written with spaces between their words; the texts have none.
INSTRUCTIONS: tuple[tuple[str, str], ...] = (
    ("Describe the image.", "请 描述 这张 图片 。"),
    ("What colour is the {shape} at the {place}?", "{place} 的 {shape} 是 什么 颜色 ？"),
    ("What is at the {place}?", "{place} 有 什么 ？"),
    ("What shape is the {colour} figure?", "{colour} 的 图形 是 什么 形状 ？"),
    ("How many figures are there?", "图片 里 有 几个 图形 ？"),
    ("How many {shape}s are there?", "图片 里 有 几个 {shape} ？"),
    ("Is the {colour} {shape} small or large?", "{colour} 的 {shape} 是 大 的 还是 小 的 ？"),
    ("Where is the {colour} {shape}?", "{colour} 的 {shape} 在 哪里 ？"),
    ("Describe the {colour} {shape}.", "请 描述 {colour} 的 {shape} 。"),
    (
        "Is the {colour} {shape} to the left of the {colour2} {shape2}?",
        "{colour} 的 {shape} 在 {colour2} 的 {shape2} 的 左边 吗 ？",
    ),
    (
        "Is the {colour} {shape} above the {colour2} {shape2}?",
        "{colour} 的 {shape} 在 {colour2} 的 {shape2} 的 上方 吗 ？",
    ),
    ("What word is on the sign?", "牌子 上 写 着 什么 单词 ？"),
    ("What number is on the sign?", "牌子 上 写 着 什么 数字 ？"),
    ("What colour is the text on the sign?", "牌子 上 的 文字 是 什么 颜色 ？"),
    ("Is there a word or a number on the sign?", "牌子 上 是 单词 还是 数字 ？"),
    ("How many letters has the word on the sign?", "牌子 上 的 单词 有 几个 字母 ？"),
    ("What is the first letter of the word on the sign?", "牌子 上 的 单词 的 第一个 字母 是 什么 ？"),
    ("What is the last letter of the word on the sign?", "牌子 上 的 单词 的 最后 一个 字母 是 什么 ？"),
    ("Is the number on the sign even or odd?", "牌子 上 的 数字 是 奇数 还是 偶数 ？"),
    ("What is the first digit of the number on the sign?", "牌子 上 的 数字 的 第一位 是 多少 ？"),
    ("What is the last digit of the number on the sign?", "牌子 上 的 数字 的 最后 一位 是 多少 ？"),
    ("How many bars has the chart?", "图表 里 有 几根 柱子 ？"),
    ("Which bar is the highest?", "哪根 柱子 最高 ？"),
    ("Which bar is the lowest?", "哪根 柱子 最低 ？"),
    ("What is the value of the {colour} bar?", "{colour} 的 柱子 的 数值 是 多少 ？"),
    ("Is the {colour} bar higher than the {colour2} bar?", "{colour} 的 柱子 比 {colour2} 的 柱子 高 吗 ？"),
    ("Who painted the {colour} {shape}?", "{colour} 的 {shape} 是 谁 画 的 ？"),
    ("How heavy is the {colour} {shape}?", "{colour} 的 {shape} 有 多 重 ？"),
    ("What is hidden behind the {colour} {shape}?", "{colour} 的 {shape} 后面 藏 着 什么 ？"),
    ("In which town does the sign hang?", "牌子 挂 在 哪个 城镇 ？"),
    ("When was the sign put up?", "牌子 是 什么 时候 挂 上去 的 ？"),
    ("Who measured the {colour} bar?", "{colour} 的 柱子 是 谁 测量 的 ？"),
    ("In which year was the chart made?", "图表 是 哪 一年 做 的 ？"),
    ("How much did this picture cost?", "这张 图片 花 了 多少 钱 ？"),
    ("Who made this picture?", "这张 图片 是 谁 做 的 ？"),
    ("What about it?", "它 怎么样 ？"),
    ("And the other one?", "那 另 一个 呢 ？"),
    ("Is that one better?", "那个 更 好 吗 ？"),
    ("Do it again.", "请 再 做 一次 。"),
    ("Which one is meant here?", "这里 指 的 是 哪 一个 ？"),
    ("Can you tell me about the thing?", "能 说说 那个 东西 吗 ？"),
    ("Compare it with the others.", "请 和 其他 的 比较 一下 。"),
)
CAPTIONS: tuple[tuple[str, str], ...] = (
    ("The image shows {figures}.", "图片 里 有 {figures} 。"),
    ("There is {figures}.", "画面 中 有 {figures} 。"),
    ("A bar chart has {bars}.", "柱状图 里 有 {bars} 。"),
    ("The chart shows {bars}.", "图表 显示 了 {bars} 。"),
    ("A sign shows the number {digits} in {colour}.", "牌子 上 写 着 {colour} 的 数字 {digits} 。"),
    ("A sign has the number {digits} in {colour}.", "牌子 上 有 {colour} 的 数字 {digits} 。"),
    ("A sign says {word} in {colour} letters.", "牌子 上 写 着 {colour} 的 单词 {word} 。"),
    ("A sign reads {word} in {colour} letters.", "牌子 上 有 {colour} 的 单词 {word} 。"),
)
ANSWERS: tuple[tuple[str, str], ...] = (
    ("The {shape} at the {place} is {colour}.", "{place} 的 {shape} 是 {colour} 的 。"),
    ("It is a {size} {colour} {shape}.", "那 是 一个 {colour} {size} {shape} 。"),
    ("It is a {colour} {shape}.", "那 是 一个 {colour} {shape} 。"),
    ("There is one.", "有 一个 。"),
    ("There are {count}.", "有 {count} 个 。"),
    ("The {colour} {shape} is {size}.", "{colour} 的 {shape} 是 {size} 的 。"),
    ("The {colour} {shape} is at the {place}.", "{colour} 的 {shape} 在 {place} 。"),
    ("The {colour} {shape} is at the {place} and is {size}.", "{colour} 的 {shape} 在 {place} ， 是 {size} 的 。"),
    *(
        (
            "The {colour} {shape} is at the {place} and the {colour2} {shape2} is at the {place2}, so " + english,
            "{colour} 的 {shape} 在 {place} ， {colour2} 的 {shape2} 在 {place2} ， 所以 " + chinese,
        )
        for english, chinese in (("yes.", "是的 。"), ("no.", "不是 。"))
    ),
    *(
        (
            "It is a {colour} bar of {value} and a {colour2} bar of {value2}, so " + english,
            "那 是 数值 为 {value} 的 {colour} 柱子 和 数值 为 {value2} 的 {colour2} 柱子 ， 所以 " + chinese,
        )
        for english, chinese in (("yes.", "是的 。"), ("no.", "不是 。"))
    ),
    ("It is {digits}.", "是 {digits} 。"),
    ("It is {sign}.", "是 {sign} 。"),
    ("It is {word}.", "是 {word} 。"),
    ("It is {colour}.", "是 {colour} 的 。"),
    ("It is even.", "是 偶数 。"),
    ("It is odd.", "是 奇数 。"),
    ("It is a word.", "是 单词 。"),
    ("It is a number.", "是 数字 。"),
    ("It has one.", "一共 有 一个 。"),
    ("It has {count}.", "一共 有 {count} 个 。"),
    ("It is the {colour} one.", "是 {colour} 的 那根 。"),
    ("It is a {colour} bar of {value}.", "那 是 数值 为 {value} 的 {colour} 柱子 。"),
)
# Items of a list, with what joins them.
_ITEMS = {
    "figures": ("a {size} {colour} {shape} at the {place}", "{place} 的 一个 {colour} {size} {shape}"),
    "bars": ("a {colour} bar of {value}", "数值 为 {value} 的 {colour} 柱子"),
}
_JOINED = {"english": (", ", " and "), "chinese": ("、", "和")}


@dataclass(frozen=True)
class _Side:
    """A sentence in one language, and how its slots are read."""

    text: str
    language: str

    def pattern(self) -> re.Pattern[str]:
        """Matches the sentence; its groups are the slots."""
        return re.compile(re.sub(r"\\{(\w+)\\}", lambda slot: f"(?P<{slot[1]}>{self._slot(slot[1])})", self._escaped()))

    def item(self) -> str:
        """A pattern without groups."""
        return re.sub(r"\\{(\w+)\\}", lambda slot: f"(?:{self._slot(slot[1])})", self._escaped())

    def _escaped(self) -> str:
        return re.escape(self.text).replace(r"\ ", " ")

    def _slot(self, name: str) -> str:
        kind = name.rstrip("2")
        if kind in _PATTERNS:
            return _PATTERNS[kind]
        if kind in _ITEMS:
            item = _side(_ITEMS[kind], self.language).item()
            comma, last = _JOINED[self.language]
            return f"{item}(?:{comma}{item})*(?:{last}{item})?"
        values = VALUES[kind]
        return "|".join(values if self.language == "english" else values.values())


def _side(pair: tuple[str, str], language: str) -> _Side:
    return _Side(pair[0] if language == "english" else pair[1].replace(" ", ""), language)


@cache
def _table(language: str) -> list[tuple[re.Pattern[str], tuple[str, str]]]:
    return [(_side(pair, language).pattern(), pair) for pair in (*INSTRUCTIONS, *CAPTIONS, *ANSWERS)]


@cache
def _item_pattern(kind: str, language: str) -> re.Pattern[str]:
    return _side(_ITEMS[kind], language).pattern()


@cache
def _back(kind: str) -> dict[str, str]:
    return {chinese: english for english, chinese in VALUES[kind].items()}


def _translate(text: str, source: str, target: str) -> str | None:
    for pattern, pair in _table(source):
        if found := pattern.fullmatch(text):
            return _fill(_side(pair, target).text, found.groupdict(), source, target)
    return None


def _fill(text: str, slots: dict[str, str], source: str, target: str) -> str:
    return text.format_map({name: _value(name.rstrip("2"), value, source, target) for name, value in slots.items()})


def _value(kind: str, value: str, source: str, target: str) -> str:
    if kind in _PATTERNS:
        return value
    if kind not in _ITEMS:
        return (VALUES[kind] if source == "english" else _back(kind))[value]
    items = [
        _fill(_side(_ITEMS[kind], target).text, found.groupdict(), source, target)
        for found in _item_pattern(kind, source).finditer(value)
    ]
    comma, last = _JOINED[target]
    return items[0] if len(items) == 1 else f"{comma.join(items[:-1])}{last}{items[-1]}"


@lru_cache(maxsize=100_000)
def to_chinese(sentence: str) -> str | None:
    """Returns the Chinese translation of an English sentence, or None if it is not in the language."""
    return _translate(sentence, "english", "chinese")


@lru_cache(maxsize=100_000)
def to_english(sentence: str) -> str | None:
    """Returns the English translation of a Chinese sentence, or None if it is not in the language."""
    return _translate(sentence, "chinese", "english")


def in_chinese(text: str) -> bool:
    """Returns whether a text contains Chinese characters."""
    return re.search("[\u4e00-\u9fff]", text) is not None


@cache
def chinese_words() -> frozenset[str]:
    """Returns the words of all Chinese sentences, without punctuation."""
    texts = " ".join(pair[1] for pair in (*INSTRUCTIONS, *CAPTIONS, *ANSWERS, *_ITEMS.values()))
    written: Iterable[str] = re.sub(r"{\w+}", " ", texts).split()
    values = (value for kind in VALUES if kind != "word" for value in VALUES[kind].values())
    return frozenset(word for word in (*written, *values, "和") if in_chinese(word))


@cache
def _segments() -> Callable[[str], list[str]]:
    known = sorted((*chinese_words(), *WORDS), key=len, reverse=True)
    return re.compile("|".join([*known, r"\S"])).findall


def segment(text: str) -> list[str]:
    """Returns the words of a Chinese text, the longest known ones first; a character of no known word is a word."""
    return _segments()(text)
