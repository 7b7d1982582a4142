"""Finds phrases which show that a text was made from another text, not from the image.

A leak attributes information to a source: "according to the caption", "the tags suggest", "as described". The same
nouns can also refer to text in the image: "the caption of the cartoon", "the label on the bottle". The rules look for a
position of the source in the image. The rules are our own; an ambiguous phrase counts as a leak.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from . import leaks_en as en
from .leaks_en import SOURCES, Noun, Source
from .leaks_zh import find_leak_zh
from .texts import straighten

# After this number of sentences, "as mentioned above" may refer to the text itself.
_OWN = 3
_SENTENCE = re.compile(r"[^.!?;\n]+(?:\.(?=\w)[^.!?;\n]+)*[.!?;]*")


def find_leak(text: str, sources: Collection[Source] = SOURCES) -> str | None:
    """Returns the phrase in which an English or Chinese text mentions its source, or None.

    Args:
        sources: kinds of sources to look for.
    """
    found = next(_leaks(text, frozenset(sources)), None)
    return found if found is not None else find_leak_zh(text, sources)


def _leaks(text: str, sources: frozenset[Source]) -> Iterator[str]:
    previous, count = "", 0
    for line in filter(None, map(str.strip, text.splitlines())):
        for found in _SENTENCE.finditer(straighten(line)):
            sentence = found[0].strip()
            for noun in en.NOUNS:
                if noun.source in sources:
                    yield from _attributions(noun, sentence, previous)
            if "hints" in sources and (said := en.PROGRAMS.search(sentence)):
                yield said[0]
            if "unnamed" in sources:
                yield from _unnamed(sentence, count)
            previous, count = sentence, count + 1


def _unnamed(sentence: str, before: int) -> Iterator[str]:
    """Yields attributions without a named source.

    Args:
        before: number of sentences before this one.
    """
    for pattern in en.UNNAMED:
        for said in pattern.finditer(sentence):
            is_own = before >= _OWN and en.BEFORE.search(said[0])
            is_shown = en.ON_CARRIER.search(sentence) or en.ON_SURFACE.match(sentence, said.end())
            if not is_own and (said[0].lower().startswith("as ") or not is_shown):
                yield said[0]


def _attributions(noun: Noun, sentence: str, previous: str) -> Iterator[str]:
    for found in re.finditer(rf"\b(?:{noun.pattern})\b(?!-)", sentence, re.IGNORECASE):
        phrase = _read_phrase(sentence[: found.start()])
        if _is_source(noun, found[0], phrase, sentence[found.end() :], previous):
            yield sentence[len(phrase.before) : found.end()]


@dataclass(frozen=True, slots=True)
class _Phrase:
    """The words before a noun: the text before its article, the article, and the words between."""

    before: str
    article: str
    words: tuple[str, ...]

    @property
    def is_given(self) -> bool:
        # Without an article, "above" is a position: "the logo above text".
        return any(word in en.GIVEN and (self.article or word != "above") for word in self.words)


def _read_phrase(before: str) -> _Phrase:
    """Reads the words before a noun backwards to an article, at most four words."""
    rest = before.split(" ")[:-1] if before.endswith(" ") else []
    words: list[str] = []
    for word in map(str.lower, reversed(rest[-4:])):
        if word in en.ARTICLES:
            return _Phrase(_join(rest[: -len(words) - 1]), word, tuple(words))
        if not re.fullmatch(r"[\w'-]+", word) or word in en.STOPS:
            break
        words.insert(0, word)
    while words and not set(words) <= en.PLAIN:
        words.pop(0)
    return _Phrase(_join(rest[: len(rest) - len(words)]), "", tuple(words))


def _join(words: list[str]) -> str:
    return "".join(f"{word} " for word in words)


def _is_source(noun: Noun, name: str, phrase: _Phrase, after: str, previous: str) -> bool:
    # "The context of the image" is in the image, its tags are not.
    tail = en.OUTSIDE if noun.source in ("text", "information") else rf"(?:{en.OUTSIDE}|{en.OF_PICTURE})"
    outside = re.match(rf" {tail}\b(?!')", after, re.IGNORECASE)
    rest = after[outside.end() :] if outside else after
    if _is_in_image(noun, name, phrase, rest, is_outside=outside is not None):
        return False
    if phrase.is_given or (outside is not None and en.GIVEN_TO.search(outside[0])):
        return True
    if noun.source == "hints" and "image" in phrase.words:
        return True
    if noun.says is None or (not noun.firm and not set(phrase.words) <= en.PLAIN):
        return False
    if _is_shown_before(noun, name, phrase, rest, previous):
        return False
    return _is_based_on(noun, name, phrase) or _is_subject(noun, phrase, rest)


def _is_in_image(noun: Noun, name: str, phrase: _Phrase, rest: str, *, is_outside: bool) -> bool:
    """Returns whether the text describes the position of a source in the image, or its look."""
    if en.COMPOUND.match(rest) or any(map(en.IMAGE_WORD.fullmatch, phrase.words)):
        return True
    if en.IN_SOURCE.match(rest):
        return False
    if name.lower().startswith("description") and en.OF_SOMETHING.match(rest):
        return en.OF_CARRIER.match(rest) is not None
    if en.PLACED.match(rest):
        return True
    if is_outside or noun.source == "hints" or re.search(noun.based, phrase.before, re.IGNORECASE):
        return False
    is_subject = not re.search(r"\b(?:in|from|of|by|with|to) $", phrase.before)
    return bool((is_subject and en.LOOKS_LIKE.match(rest)) or en.QUOTED.match(rest))


def _is_shown_before(noun: Noun, name: str, phrase: _Phrase, rest: str, previous: str) -> bool:
    """Returns whether an object that shows the source was mentioned: "A poster hangs there. The text says ..."."""
    if name.lower() in ("tags", "labels"):
        return bool(en.ON_CARRIER.search(phrase.before) or en.CARRIER_NEXT.search(rest))
    if noun.source in ("hints", "prompt"):
        return False
    if noun.firm:
        return en.HAS_CAPTION.search(phrase.before) is not None
    return en.SHOWS_TEXT.search(f"{previous} {phrase.before}") is not None


def _is_based_on(noun: Noun, name: str, phrase: _Phrase) -> bool:
    """Returns whether a phrase is based on a source ("according to the caption", "described in the text")."""
    if not phrase.article and not en.BARE.fullmatch(name):
        return False
    return bool(re.search(noun.based, phrase.before, re.IGNORECASE) or en.TOLD_IN.search(phrase.before))


def _is_subject(noun: Noun, phrase: _Phrase, rest: str) -> bool:
    """Returns whether a source is a verb's subject: "the caption mentions"; "caption mentions" only at the start."""
    if phrase.article not in en.DEFINITE and (phrase.article or phrase.before or not noun.firm):
        return False
    says = re.match(rf"{en.AUXILIARIES}(?:{noun.says})\b", rest, re.IGNORECASE)
    said = rest[says.end() :] if says else ""
    if says is None or (noun.source == "text" and en.READ_OFF.match(said)):
        return noun.firm and bool(phrase.article) and not en.ASKED.search(phrase.before)
    # "What does the text say?" asks for text in the image.
    return not (re.search(r"\b(?:does|do|did) $", phrase.before, re.IGNORECASE) and not said.strip(" ?"))
