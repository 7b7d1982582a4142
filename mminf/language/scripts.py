"""Finds texts in another writing system than the text that they belong to: a Chinese caption of an English seed.

Languages that share a script are not distinguished; the module `identify` does this. Quoted text, code and formulas
don't count: a sign in an image may have any script. The rules are our own.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache

from mminf.lazy import lazy_pattern

_LEAST_WORDS = 6
"""Shorter texts are names, numbers or terms, which may have any script."""
_MOST_FOREIGN, _MOST_LATIN = 0.2, 0.6
"""Maximum share of a text's words in scripts that the other text does not have; texts in all scripts contain names and
terms in Latin letters."""
_SHARED = 0.05
"""Minimum share of the words of a text in a script that belongs to the text."""

_NOT_PROSE = lazy_pattern(
    r"```.*?(?:```|\Z)|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]+\$|https?://\S+"
    r"|\"[^\"\n]{1,200}\"|“[^”\n]{1,200}”|「[^」\n]{1,200}」|『[^』\n]{1,200}』|《[^》\n]{1,100}》|‘[^’\n]{1,100}’",
    re.DOTALL,
)
# Requests that allow another language.
_ASKS_FOR_LANGUAGE = lazy_pattern(
    r"""
    \b (?: translat\w* | languages? | bilingual | phrase\s?book | pinyin | kanji | hiragana | katakana | hangul
    | cyrillic | Chinese | Mandarin | Cantonese | Japanese | Korean | Russian | Ukrainian | Arabic | Hebrew | Hindi
    | Bengali | Thai | Greek | Persian | Farsi | Urdu | Tamil | Telugu | Bulgarian | Serbian | Georgian | Armenian
    | English | Latin | Sanskrit | Croatian | Czech | Danish | Dutch | Esperanto | Estonian | Finnish | French | German
    | Hungarian | Indonesian | Irish | Italian | Latvian | Lithuanian | Malay | Norwegian | Polish | Portuguese
    | Romanian | Slovak | Slovenian | Spanish | Swahili | Swedish | Turkish | Vietnamese | Welsh ) \b
    | 翻译 | 译[成为] | [英日韩俄法德]文 | [英日韩俄法德西意葡]语 | 西班牙文 | 意大利文 | 中文 | 汉语 | 双语 | 外语
    """,
    re.IGNORECASE | re.VERBOSE,
)
_SPACED = lazy_pattern(r"[^\W\d_]+")
# A word of a script without spaces has about two characters.
_UNSPACED = {"HAN": 2, "KANA": 3, "THAI": 4, "LAO": 4, "KHMER": 4, "MYANMAR": 4}
_KANA = frozenset({"HIRAGANA", "KATAKANA"})


def find_other_script(text: str, other: str) -> str | None:
    """Returns what is wrong with the script of a text, or None.

    Args:
        other: the text whose script is expected, for example the request.
    """
    said, expected = count_scripts(text), count_scripts(other, quoted=True)
    total = sum(said.values())
    if total < _LEAST_WORDS or not expected or asks_for_language(other):
        return None
    least = _SHARED * sum(expected.values())
    foreign = Counter({script: words for script, words in said.items() if expected[script] <= least})
    if foreign["LATIN"] <= _MOST_LATIN * total and foreign.total() - foreign["LATIN"] <= _MOST_FOREIGN * total:
        return None
    script = max(foreign, key=lambda name: foreign[name])
    return f"is in another script ({script.lower()}) than the {max(expected, key=lambda name: expected[name]).lower()}"


def asks_for_language(text: str) -> bool:
    """Returns whether a request names a language, and may therefore ask for an answer in it."""
    return _ASKS_FOR_LANGUAGE.search(text) is not None


@lru_cache(maxsize=16)
def without_quotes(text: str) -> str:
    """Returns a text without quoted text, code, formulas and addresses."""
    return _NOT_PROSE.sub(" ", text)


def count_scripts(text: str, *, quoted: bool = False) -> Counter[str]:
    """Returns the number of words per script; for scripts without spaces, it is estimated by their characters.

    Args:
        quoted: count quoted text and code as well.
    """
    return _count_words(text if quoted else without_quotes(text)).copy()


@lru_cache(maxsize=16)
def _count_words(text: str) -> Counter[str]:
    """Counts the words of a text; cached, because a text and its request are each looked at several times."""
    words: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    for word in _SPACED.findall(text):
        if word.isascii():
            words["LATIN"] += 1
            continue
        scripts = Counter(_script_of(char) for char in word)
        characters.update({script: count for script, count in scripts.items() if script in _UNSPACED})
        words.update({script: 1 for script in scripts if script not in _UNSPACED})
    words.update({script: -(-count // _UNSPACED[script]) for script, count in characters.items()})
    return words


@lru_cache(maxsize=4096)
def _script_of(char: str) -> str:
    """Returns the script of a letter, by the first word of its Unicode name."""
    name = unicodedata.name(char, "OTHER").split(maxsplit=1)[0]
    if name == "CJK":
        return "HAN"
    return "KANA" if name in _KANA else name
