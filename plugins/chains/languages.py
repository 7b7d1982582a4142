"""Finds the language of a text, by its script and by frequent words. The rules and tables are our own."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from .scripts import asks_for_language, count_scripts, find_other_script, without_quotes
from .texts import CJK, word_set

# Words that are frequent in one language; some are in several lists.
_FREQUENT = {
    "en": word_set(
        """
        the and of is are was were this that these those with for you it in to a an on be as by from not have has what
        how which can there their its or at do does did don't can't it's i'm doesn't
        """
    ),
    "de": word_set(
        """
        der die das und ist nicht ein eine einen einem einer mit auf zu den dem des sich auch für wie was sind im von es
        ich sie er wird oder bei aus nach
        """
    ),
    "fr": word_set(
        """
        le la les des et est une un dans pour que qui sur pas avec ce cette sont du au aux plus vous il elle je de en se
        par ou son sa ses
        """
    ),
    "es": word_set(
        """
        el la los las y es una un en para que del con por se no su sus como más está son de lo al hay muy o
        """
    ),
    "pt": word_set(
        """
        o a os as e é uma um em para que do da dos das com não por se mais como está são no na de ao
        """
    ),
    "it": word_set(
        """
        il lo la i gli le e è una un in per che di del della con non si sono come nel nella da al più
        """
    ),
    "nl": word_set(
        """
        de het een en is van in op te dat niet voor met zijn aan er die ook als naar door wordt bij ik je
        """
    ),
}
_CODES = {"HAN": "zh", "KANA": "ja", "HANGUL": "ko"}
# Names of scripts in language tags (ISO 15924).
_TAGS = {
    "LATIN": "Latn", "CYRILLIC": "Cyrl", "ARABIC": "Arab", "HEBREW": "Hebr", "GREEK": "Grek", "DEVANAGARI": "Deva",
    "BENGALI": "Beng", "TAMIL": "Taml", "TELUGU": "Telu", "THAI": "Thai",
}  # fmt: skip
_WORD = re.compile(rf"[^\W\d_{CJK}]+(?:['’][^\W\d_{CJK}]+)*")
# Frequent words of a language that a text needs: for its code, and to be certain that it is not another language.
_FOR_CODE, _TO_BE_CERTAIN = 2, 3
_LEAST_WORDS = 6
"""Words that a text needs in scripts without a list of frequent words, to be certain."""


@dataclass(frozen=True, slots=True)
class TextLanguage:
    """What is known of a text's language.

    Attributes:
        script: the script with most words; None if there are no words.
        likely: the most likely language, as a code; None if there is none.
        evidence: number of frequent words of this language, or of words in other scripts than the Latin.
    """

    script: str | None
    likely: str | None = None
    evidence: int = 0

    @property
    def code(self) -> str:
        """The language (`en`), `und-Cyrl` for a script of several languages, or `und`."""
        if self.likely is not None and (self.script != "LATIN" or self.evidence >= _FOR_CODE):
            return self.likely
        tag = _TAGS.get(self.script or "")
        return f"und-{tag}" if tag is not None else "und"

    def is_certain(self) -> bool:
        """Returns whether the text is long enough to be sure of its language."""
        return self.evidence >= (_TO_BE_CERTAIN if self.script == "LATIN" else _LEAST_WORDS)


def find_language(text: str) -> TextLanguage:
    """Returns what is known of a text's language; code, formulas, addresses and quotations do not count."""
    scripts = count_scripts(text)
    if not scripts:
        return TextLanguage(None)
    if scripts["KANA"] > 0.1 * scripts["HAN"]:
        scripts["KANA"] += scripts.pop("HAN", 0)  # Japanese has both
    script = max(scripts, key=lambda name: scripts[name])
    if script != "LATIN":
        return TextLanguage(script, _CODES.get(script), scripts[script])
    likely, frequent = _guess(text)
    return TextLanguage(script, likely, frequent)


def find_other_language(text: str, other: str) -> str | None:
    """Returns why a text is certainly not in the language of another text, or None.

    Args:
        other: the text whose language is expected, for example the request. If it names a language, any is right.
    """
    if (reason := find_other_script(text, other)) is not None:
        return reason
    found, expected = find_language(text), find_language(other)
    if asks_for_language(other) or not found.is_certain() or {found.script, expected.script} & {None}:
        return None
    if found.script != expected.script and {found.script, expected.script} != {"HAN", "KANA"}:
        return None  # the other script has too small a part to count
    if None in (found.likely, expected.likely) or found.likely == expected.likely:
        return None
    return f"is in another language ({found.likely}) than {expected.likely}"


def _guess(text: str) -> tuple[str | None, int]:
    """Returns the most likely language of a text in Latin script, and how many of its words are frequent in it."""
    words = _WORD.findall(without_quotes(text))
    # Words in titles and names are capitalised; the first word of a text always is.
    said = [word.lower().replace("’", "'") for number, word in enumerate(words) if number == 0 or not word[0].isupper()]
    counts = Counter({code: sum(word in known for word in said) for code, known in _FREQUENT.items()})
    (best, most), (_, second) = counts.most_common(2)
    # A list of names has few frequent words; related languages share some.
    if most < max(1, 0.1 * len(said)) or most < 1.3 * second:
        return None, 0
    return best, most
