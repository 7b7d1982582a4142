"""`article`: a label with its indefinite article, by sound: "an hourglass", "a unicorn", "an SUV"."""

from __future__ import annotations

import re
import unicodedata

from pydantic import Field

from mminf.step import Context, Outcome, Record, RecordError, Step, StepConfig, step

# Prefixes of words whose first letter does not tell how they begin.
_SILENT_H = ("heir", "honest", "honor", "honour", "hour")
_CONSONANT = (
    # "you-": unicorn, European, ewe
    *("eu", "ewe", "ubiq", "ufo", "ugand", "uke", "ukul", "ukrain", "unanim", "uni", "ural", "uran", "urea", "urin"),
    *("uru", "usa", "use", "usu", "uta", "ute", "uti", "uto", "uv"),
    # "w-": one-piece, once
    *("once", "one-", "one ", "ouija", "uaka"),
)
_VOWEL = ("unident", "unimag", "unimp", "unin", "usher")  # "un-", not "uni-"
_VOWEL_NUMBER = re.compile(r"(?:8\d*|11|18|11\d{2}|18\d{2})(?!\d)")
"""Eight, eleven, eighteen, 1850."""
_SPELLED = re.compile(r"[A-Z](?=[-\d/.]|\s|$)|(?:[A-Z]{2,3}|[B-DF-HJ-NP-TV-Z]{4,6})(?![A-Za-z])")
"""The beginning of a name that is read letter by letter: SUV, F-16, A320, X-ray. FIAT and NASA are read as words."""
_VOWEL_LETTERS = "AEFHILMNORSX"
_DETERMINED = re.compile(r"(?:an?|the|some|my|his|her|its|their|two|three|four|several|many)\s", re.IGNORECASE)
# Singular words that end in s, in addition to those in ss, us, is and as.
_SINGULAR = frozenset(
    ["bellows", "cosmos", "gallows", "headquarters", "lens", "mercedes", "rhinoceros", "series", "species", "thermos"]
)
_PLURAL = re.compile(r"[^\W\d_]*[^suia\W\d_]s", re.IGNORECASE)


class ArticleConfig(StepConfig):
    """Settings of `article`."""

    reads: str = Field("label", description="Field with the label.")
    writes: str = Field("with_article", description="Field for the label with its article.")


@step("article")
class Article(Step[ArticleConfig]):
    """Writes a label with "a" or "an", by sound; plurals and labels that have an article get none.

    Supports English labels; a label in another script is written unchanged. The rules and the lists of exceptions are
    our own, and cover names of things, cars and aircraft.
    """

    async def run(self, record: Record, ctx: Context) -> Outcome:
        """Writes the label with its article. Raises RecordError if it is neither a text nor a number."""
        label = record[self.config.reads]
        if isinstance(label, bool) or not isinstance(label, str | int) or not str(label).strip():
            raise RecordError(f"field {self.config.reads!r} is not a label, but {label!r:.60}")
        return {self.config.writes: with_article(str(label))}


def with_article(label: str) -> str:
    """Returns a label with its indefinite article."""
    label = " ".join(label.split())
    if not re.match(r"\W*[A-Za-zÀ-ž0-9]", label) or _DETERMINED.match(label) or _is_plural(label):
        return label
    return f"{'an' if begins_with_vowel(label) else 'a'} {label}"


def begins_with_vowel(text: str) -> bool:
    """Returns whether a text begins with a vowel when it is read aloud."""
    bare = re.sub(r"^\W+", "", text)
    if bare[:1].isdigit():
        return _VOWEL_NUMBER.match(bare) is not None
    if _SPELLED.match(bare):
        return bare[0] in _VOWEL_LETTERS
    lower = bare.casefold()
    if lower.startswith((*_SILENT_H, *_VOWEL)):
        return True
    if lower == "one" or lower.startswith(_CONSONANT):
        return False
    return unicodedata.normalize("NFD", lower)[:1] in tuple("aeiouæø")


def _is_plural(label: str) -> bool:
    """Returns whether the last word of a label looks like a plural; "boxes with lids" begins with its noun."""
    noun = re.split(r"\s(?:of|with|in|on|and)\s|\s?\(|,", label, maxsplit=1)[0]
    last = re.split(r"[\s-]", noun)[-1]
    return last.casefold() not in _SINGULAR and _PLURAL.fullmatch(last) is not None
