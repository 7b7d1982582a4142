"""Defects of wording: instructions that are garbled, or run into each other."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from .language import split_words
from .oracle import repair
from .scene import COLOURS, SHAPES

Make = Callable[[], str]
# Words of one kind: a sample that runs two instructions together often has the right kind of word in the wrong place.
_KINDS: tuple[tuple[str, ...], ...] = (
    (*COLOURS,),
    (*SHAPES, "bar", "figure", "sign"),
    (*(f"{shape}s" for shape in SHAPES), "figures", "bars", "letters"),
    ("top", "bottom", "left", "right"),
    ("highest", "lowest", "small", "large", "even", "odd", "above", "higher"),
    ("What", "Where", "Which", "Who", "Is", "How", "When"),
    ("colour", "shape", "number", "word", "value"),
    ("红色", "绿色", "蓝色", "黄色", "紫色", "黑色"),
    ("圆形", "正方形", "三角形", "星形", "柱子", "图形", "单词", "数字"),
    ("左上角", "右上角", "左下角", "右下角"),
    ("最高", "最低", "大", "小", "奇数", "偶数"),
    ("几个", "几根", "哪根", "什么", "哪里", "谁"),
)
_FILLERS = (
    "the",
    "is",
    "of",
    "on",
    "at",
    "to",
    "are",
    "has",
    "there",
    "many",
    "word",
    "sign",
    "bar",
    "What",
    "Is",
    "How",
)
_CHINESE_FILLERS = ("的", "是", "有", "在", "什么", "几个", "多少", "和", "里", "上", "牌子", "柱子", "吗")


def garble(make: Make, rng: random.Random) -> str:
    """Returns a question with a repeated word, two neighbouring words swapped, or all words shuffled."""
    while True:
        text = make()
        if text[-1] not in "?？":
            continue
        words, mark, space = split_words(text)
        way = rng.choice(("repeat", "swap", "shuffle"))
        if way == "repeat":
            at = rng.randrange(len(words))
            words[at:at] = [words[at]] * rng.choice((1, 1, 2))
        elif way == "swap":
            at = rng.randrange(len(words) - 1)
            words[at], words[at + 1] = words[at + 1], words[at]
        else:
            rng.shuffle(words)
        garbled = space.join(words) + mark
        found = repair(garbled)
        if found is None or found[2] < 5:
            return garbled


def join(make: Make, rng: random.Random) -> str:
    """Returns an instruction that can't be repaired: two that run into each other, or one with some wrong words.

    A small model samples such texts. Most of their words are in order, so they are harder to recognise than a shuffle.
    """
    while True:
        text = rng.choice((_seam, _seam, _wrong_kind, _drop, _insert, _several))(make, rng)
        if repair(text) is None:
            return text


def _parts(make: Make) -> tuple[list[str], str, str]:
    return split_words(make())


def _seam(make: Make, rng: random.Random) -> str:
    """The head of one instruction, and the tail of another, sometimes with a word less or a third part."""
    head, mark, space = _parts(make)
    for _ in range(rng.choice((1, 1, 1, 2))):
        tail, mark, _ = _parts(make)
        head = head[: rng.randint(1, len(head))] + tail[rng.randint(0, len(tail) - 1) :]
    return space.join(head) + mark


def _wrong_kind(make: Make, rng: random.Random) -> str:
    """One or two words replaced by words of the same kind: `Where is the red bar?`"""
    words, mark, space = _parts(make)
    for _ in range(rng.choice((1, 1, 2))):
        at = rng.randrange(len(words))
        kind = next((kind for kind in _KINDS if words[at] in kind), None)
        if kind is not None:
            words[at] = rng.choice(kind)
    return space.join(words) + mark


def _drop(make: Make, rng: random.Random) -> str:
    """One to three words missing, often at the end: `How many stars are?`"""
    words, mark, space = _parts(make)
    number = min(rng.choice((1, 1, 2, 3)), len(words) - 1)
    at = len(words) - number if rng.random() < 0.3 else rng.randint(0, len(words) - number)
    return space.join(words[:at] + words[at + number :]) + mark


def _insert(make: Make, rng: random.Random) -> str:
    """One or two words too many: `How many are stars are there?`"""
    words, mark, space = _parts(make)
    fillers: Sequence[str] = _FILLERS if space else _CHINESE_FILLERS
    for _ in range(rng.choice((1, 1, 2))):
        words.insert(rng.randint(0, len(words)), rng.choice(words) if rng.random() < 0.5 else rng.choice(fillers))
    return space.join(words) + mark


def _several(make: Make, rng: random.Random) -> str:
    """Several small errors in an instruction, or in one that runs into another."""
    text = _seam(make, rng) if rng.random() < 0.5 else make()
    for _ in range(rng.choice((1, 2, 3))):
        words, mark, space = split_words(text)
        if len(words) < 2:
            break
        way = rng.choice(("swap", "drop", "double", "kind"))
        at = rng.randrange(len(words) - 1)
        if way == "swap":
            words[at], words[at + 1] = words[at + 1], words[at]
        elif way == "drop":
            del words[at]
        elif way == "double":
            words.insert(rng.randint(0, len(words)), words[at])
        else:
            kind = next((kind for kind in _KINDS if words[at] in kind), None)
            words[at] = rng.choice(kind) if kind is not None else words[at]
        text = space.join(words) + mark
    return text
