"""Recognises texts of the small language about scenes, in English and Chinese: instructions, captions and answers."""

from __future__ import annotations

import re
from functools import cache

from .chinese import in_chinese, segment, to_english
from .forms import FORMS, Form, slot_values, vocabulary
from .scene import COLOURS, NUMBERS, PLACES, SHAPES, SIZES, WORDS


@cache
def _patterns() -> list[tuple[Form, re.Pattern[str]]]:
    patterns = []
    for form in FORMS:
        text = re.escape(form.text)
        for slot in form.slots:
            text = text.replace(rf"\{{{slot}\}}", f"(?P<{slot}>{'|'.join(slot_values(slot))})")
        patterns.append((form, re.compile(text)))
    return patterns


def parse(instruction: str) -> tuple[Form, dict[str, str]] | None:
    """Returns the form of an instruction and the (English) values of its slots; None if it is not in this language."""
    if in_chinese(instruction):
        english = to_english(instruction)
        return None if english is None else parse(english)
    for form, pattern in _patterns():
        if found := pattern.fullmatch(instruction):
            return form, found.groupdict()
    return None


_FIGURE = rf"a (?:{'|'.join(SIZES)}) (?:{'|'.join(COLOURS)}) (?:{'|'.join(SHAPES)}) at the (?:{'|'.join(PLACES)})"
_BAR = rf"a (?:{'|'.join(COLOURS)}) bar of (?:{'|'.join(NUMBERS)})"
_COLOUR = f"(?:{'|'.join(COLOURS)})"


@cache
def _statements() -> re.Pattern[str]:
    def listed(thing: str) -> str:
        return rf"{thing}(?:, {thing})*(?: and {thing})?"

    captions = [
        rf"(?:The image shows|There is) {listed(_FIGURE)}\.",
        rf"(?:A bar chart has|The chart shows) {listed(_BAR)}\.",
        rf"A sign (?:shows|has) the number \d\d in {_COLOUR}\.",
        rf"A sign (?:says|reads) (?:{'|'.join(WORDS)}) in {_COLOUR} letters\.",
    ]
    return re.compile("|".join(captions))


def is_caption(sentence: str) -> bool:
    """Returns whether a sentence is a caption in this language, of any scene."""
    if in_chinese(sentence):
        sentence = to_english(sentence) or ""
    return _statements().fullmatch(sentence) is not None


def caption_parts(sentence: str) -> list[str]:
    """Returns the sorted parts of a caption, so that captions with another order of parts compare equal."""
    if in_chinese(sentence):
        sentence = to_english(sentence) or ""
    figures = re.findall(_FIGURE, sentence) or re.findall(_BAR, sentence)
    return sorted(figures or re.findall(rf"\d\d|{'|'.join(WORDS)}|{_COLOUR}", sentence))


@cache
def _answers() -> re.Pattern[str]:
    shape, place, size = (f"(?:{'|'.join(values)})" for values in (SHAPES, PLACES, SIZES))
    figure, number = f"{_COLOUR} {shape}", f"(?:{'|'.join(NUMBERS)})"
    stands = f"he {figure} is at the {place}"
    forms = [
        rf"The {shape} at the {place} is {_COLOUR}\.",
        rf"It is a (?:{size} )?{figure}\.",
        rf"There (?:is|are) {number}\.",
        rf"The {figure} is {size}\.",
        rf"T{stands}(?: and is {size})?\.",
        rf"T{stands} and t{stands}, so (?:yes|no)\.",
        rf"It is (?:\d\d|\d|[A-Z]|a word|a number|even|odd|{'|'.join(WORDS)}|{_COLOUR})\.",
        rf"It has {number}\.",
        rf"It is the {_COLOUR} one\.",
        rf"It is {_BAR}(?: and {_BAR}, so (?:yes|no))?\.",
    ]
    return re.compile("|".join(forms))


def is_answer(sentence: str) -> bool:
    """Returns whether a sentence is an answer in this language, right or wrong."""
    if in_chinese(sentence):
        sentence = to_english(sentence) or ""
    return _answers().fullmatch(sentence) is not None


@cache
def words() -> frozenset[str]:
    """Returns all words of the language without punctuation, including those of answers."""
    known = re.findall(r"\w+", " ".join(vocabulary()))
    said = ["It", "There", "are", "has", "a", "at", "and", "of", "so", "yes", "no", "The"]
    return frozenset([*known, *WORDS, *said])


def sentences(text: str) -> list[str]:
    """Returns the sentences of a text with their final punctuation."""
    return [" ".join(part.split()) for part in re.findall(r"[^.?!。？！]+[.?!。？！]?", text) if part.strip()]


def split_words(text: str) -> tuple[list[str], str, str]:
    """Returns the words of a sentence, its final punctuation, and what joins the words: nothing in Chinese."""
    mark = text[-1:] if text[-1:] in ("?", ".", "？", "。") else ""
    said = text.removesuffix(mark) if mark else text
    return (segment(said), mark, "") if in_chinese(text) else (said.split(), mark, " ")
