"""Finds the language of a text: by its script, and by py3langid's model (naive Bayes over byte sequences)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from mminf.language.scripts import asks_for_language, count_scripts, find_other_script, without_quotes

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

_BY_SCRIPT = {"HAN": "zh", "KANA": "ja", "HANGUL": "ko"}
# Names of scripts in language tags (ISO 15924).
_TAGS = {
    "LATIN": "Latn", "CYRILLIC": "Cyrl", "ARABIC": "Arab", "HEBREW": "Hebr", "GREEK": "Grek", "DEVANAGARI": "Deva",
    "BENGALI": "Beng", "TAMIL": "Taml", "TELUGU": "Telu", "THAI": "Thai",
}  # fmt: skip
_RARE = frozenset({"an", "br", "eo", "fy", "gd", "la", "lb", "nn", "oc", "vo", "wa"})
"""Short texts in related languages would be taken for these, and few texts are in these."""
_COMMON = frozenset(
    ["ar", "cs", "de", "en", "es", "fa", "fr", "hi", "id", "it", "ja", "ko", "nl", "pl", "pt", "ru", "sv", "th", "tr",
     "uk", "vi", "zh"]
)  # fmt: skip
_PRIOR = 10.0
"""Weight of these languages: py3langid's model expects as many texts in each language."""
_FOR_CODE, _TO_DROP = 0.7, 0.95
"""Minimum probability of a language, for its code, and to drop a text for it."""
_UNLIKELY = 0.01
"""Maximum probability of the expected language in a text that is dropped: related languages are not told apart."""
_LEAST_WORDS = 4
"""Shorter texts are names, numbers or terms, which may be in any language."""
_HEAD = 200
"""Number of characters of a text that `likely_language` looks at: more cost time and rarely change the result."""
_SAME = {"nb": "no"}
"""py3langid has a class for Norwegian and one for Bokmål, its written form. Their probabilities are added."""


def find_language(text: str) -> str:
    """Returns the language of a text as an ISO 639-1 code; `und-Cyrl` if only the script is certain; or `und`.

    Code, formulas, addresses and quotations do not count.
    """
    script = _find_script(text)
    if script is None:
        return "und"
    if (clear := _find_clear(text, script, _FOR_CODE)) is not None:
        return clear
    likely, probability = _most_likely(_rank(text, script))
    if probability >= _FOR_CODE:
        return likely
    return f"und-{_TAGS[script]}" if script in _TAGS else "und"


def likely_language(text: str) -> str:
    """Returns the most likely language of a text as an ISO 639-1 code, even if it is uncertain; or `und`.

    For shares of languages: `find_language` leaves a tenth of short texts undecided. Only the first 200 characters
    count, without code, formulas, addresses and quotations. A single word in Latin letters has no language.
    """
    head = text[:_HEAD]
    script = _find_script(head)
    if script is None or (script == "LATIN" and count_scripts(head)[script] < 2):
        return "und"
    return _most_likely(_rank(head, script))[0]


def find_other_language(text: str, other: str) -> str | None:
    """Returns why a text is certainly not in the language of another text, or None.

    Args:
        other: the text whose language is expected, for example the request. If it names a language, any is right.
    """
    if asks_for_language(other):
        return None
    if (reason := find_other_script(text, other)) is not None:
        return reason
    script = _find_script(text)
    if script != _find_script(other) and count_scripts(other, quoted=True)[script or ""]:
        return None  # the request has words in this script, too, and the answer may repeat them
    return find_not_in(text, find_language(other))


def find_not_in(text: str, expected: str) -> str | None:
    """Returns why a text is certainly not in a language, given as a code, or None."""
    script = _find_script(text)
    if script is None or expected.startswith("und") or sum(count_scripts(text).values()) < _LEAST_WORDS:
        return None
    if _find_clear(text, script, _UNLIKELY) == expected:
        return None
    languages = _rank(text, script)
    likely, probability = _most_likely(languages)
    if script == "LATIN" and probability < _TO_DROP:
        return None  # in other scripts, names of other languages are not expected
    if languages.get(_SAME.get(expected, expected), 0.0) > _UNLIKELY:
        return None
    return f"is in another language ({likely}) than {expected}"


@cache
def known_languages() -> frozenset[str]:
    """Returns the codes of the languages that are recognised."""
    return frozenset(_identifier().labels)


def _find_script(text: str) -> str | None:
    scripts = count_scripts(text)
    if scripts["KANA"] > 0.1 * scripts["HAN"]:
        scripts["KANA"] += scripts.pop("HAN", 0)  # Japanese has both
    return max(scripts, key=lambda name: scripts[name]) if scripts else None


def _rank(text: str, script: str) -> dict[str, float]:
    """Returns the probabilities of languages."""
    if script in _BY_SCRIPT:
        return {_BY_SCRIPT[script]: 1.0}
    weights: dict[str, float] = {}
    for code, share in _identifier().rank(without_quotes(text)):
        name = _SAME.get(code, code)
        weights[name] = weights.get(name, 0.0) + share * (_PRIOR if code in _COMMON else 1.0)
    total = sum(weights.values())
    return {code: weight / total for code, weight in weights.items()}


def _find_clear(text: str, script: str, least: float) -> str | None:
    """Returns a common language that the model finds likeliest, with more than this probability; None otherwise.

    Its probability among the weighted ones of `_rank` is at least as high, because no language has a larger weight.
    """
    if script in _BY_SCRIPT:
        return None
    likely, probability = _identifier().classify(without_quotes(text))
    return str(likely) if likely in _COMMON and probability > least else None


def _most_likely(languages: dict[str, float]) -> tuple[str, float]:
    """Returns the most likely language and its probability."""
    likely = max(languages, key=languages.__getitem__)
    return likely, languages[likely]


@cache
def _identifier() -> LanguageIdentifier:
    # Loading takes about a second.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(code for code in identifier.labels if len(code) == 2 and code not in _RARE)
    return identifier
