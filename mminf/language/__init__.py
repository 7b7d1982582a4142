"""Finds the language of a text: Chinese by its script, other languages by script and a model (py3langid)."""

from mminf.language.chinese import Language, is_chinese, language_of
from mminf.language.identify import (
    find_language,
    find_not_in,
    find_other_language,
    known_languages,
    likely_language,
)
from mminf.language.scripts import find_other_script

__all__ = [
    "Language",
    "find_language",
    "find_not_in",
    "find_other_language",
    "find_other_script",
    "is_chinese",
    "known_languages",
    "language_of",
    "likely_language",
]
