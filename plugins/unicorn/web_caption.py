"""`web_caption`: drops texts from web pages that do not resemble a caption."""

from __future__ import annotations

from pydantic import Field, field_validator

from mminf.step import Context, Drop, Outcome, Record, Step, StepConfig, step

from .web_patterns import FUNCTION_WORDS, PATTERNS, WORD

_MOST_CHARACTERS = 2000
_LEAST_CASED = 4
"""Number of words from which a title or a list of keywords is recognised."""
_MOST_CAPITALS, _MOST_TITLED, _MOST_COMMAS, _MOST_NUMBERS, _LEAST_DISTINCT = 0.5, 0.75, 0.34, 0.25, 0.5


class WebCaptionConfig(StepConfig):
    """Settings of `web_caption`."""

    reads: str = Field("seed", description="Field with the text.")
    words: tuple[int, int] = Field(
        (5, 60), description="Minimum and maximum number of words; a CJK character counts as a word."
    )
    min_letters: float = Field(0.75, ge=0, le=1, description="Minimum share of visible characters that are letters.")

    @field_validator("words")
    @classmethod
    def _ordered(cls, words: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= words[0] <= words[1]:
            raise ValueError(f"words {list(words)} is not [minimum, maximum], with a minimum of at least 1")
        return words


@step("web_caption")
class WebCaption(Step[WebCaptionConfig]):
    """Keeps the texts from web pages that resemble captions that people wrote for images.

    Drops texts with addresses, hashtags, prices, file names, markup or phrases of shops and stock photo sites, titles,
    lists of keywords, and texts that are too short, too long or repetitive. Supports English and Chinese; the rules
    about form also apply to other languages. Unicorn does not publish its rules; these are our own.
    """

    @property
    def gate(self) -> bool:
        return True

    async def run(self, record: Record, ctx: Context) -> Outcome:
        """Drops the record if its text does not resemble a caption."""
        text = record[self.config.reads]
        if not isinstance(text, str):
            return Drop(f"{self.config.reads} is not a text")
        reason = why_no_caption(text, self.config.words, self.config.min_letters)
        return {} if reason is None else Drop(f"{self.config.reads} {reason}")


def why_no_caption(text: str, limits: tuple[int, int], min_letters: float) -> str | None:
    """Returns why a text does not resemble a caption, or None.

    Args:
        limits: minimum and maximum number of words.
        min_letters: minimum share of the visible characters that are letters.
    """
    if len(text) > _MOST_CHARACTERS:
        return f"has {len(text)} characters"
    words = WORD.findall(text)
    if not limits[0] <= len(words) <= limits[1]:
        return f"has {len(words)} words, not {limits[0]} to {limits[1]}"
    for what, pattern in PATTERNS:
        if (found := pattern.search(text)) is not None:
            return f"contains {what}: {found[0].strip()[:40]!r}"
    visible = [char for char in text if not char.isspace()]
    letters = sum(map(str.isalpha, visible)) / len(visible)
    if letters < min_letters:
        return f"has {letters:.0%} letters"
    return _is_repetitive(words) or _has_numbers(words) or _is_title(words) or _is_keywords(text, words)


def _is_repetitive(words: list[str]) -> str | None:
    distinct = len({word.casefold() for word in words}) / len(words)
    return f"repeats its words ({distinct:.0%} are distinct)" if distinct < _LEAST_DISTINCT else None


def _has_numbers(words: list[str]) -> str | None:
    numbers = sum(any(map(str.isdigit, word)) for word in words) / len(words)
    return f"consists of numbers ({numbers:.0%} of its words)" if numbers > _MOST_NUMBERS else None


def _is_title(words: list[str]) -> str | None:
    cased = [word for word in words if word.lower() != word.upper()]
    if len(cased) < _LEAST_CASED:
        return None
    if sum(len(word) > 1 and word.isupper() for word in cased) > _MOST_CAPITALS * len(cased):
        return "is in capitals"
    # German nouns begin with capitals, and names of people and places.
    titled = sum(word[0].isupper() for word in cased[1:])
    return "is a title" if titled > _MOST_TITLED * (len(cased) - 1) else None


def _is_keywords(text: str, words: list[str]) -> str | None:
    commas = sum(text.count(mark) for mark in ",;，、；")
    spaced = [word for word in words if word.isascii()]
    if commas > _MOST_COMMAS * len(words) or (len(spaced) < len(words) and commas >= 4 and len(words) / commas < 4.5):
        return "is a list of keywords"
    if len(spaced) == len(words) >= _LEAST_CASED and FUNCTION_WORDS.isdisjoint(map(str.casefold, words)):
        return "is a list of keywords"
    return None
