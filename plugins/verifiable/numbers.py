"""Reads numbers: digits with separators, fractions, percentages, units, and small numbers in words."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from typing import NamedTuple

from mminf.step import lazy_pattern


class Number(NamedTuple):
    """A number with its unit.

    Attributes:
        value: the number as it is written: 25 for "25 %".
        dimension: what the unit measures, such as "length"; None without a known unit.
        factor: size of the unit in the base unit of the dimension.
        words: the words after the number, if they are not a known unit: "red apples".
    """

    value: Fraction
    dimension: str | None = None
    factor: Fraction = Fraction(1)
    words: frozenset[str] = frozenset()


_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_WORDS = {
    **{word: value for value, word in enumerate(_ONES)},
    **{word: 10 * value for value, word in enumerate(_TENS, 2)},
    **{f"{ten}-{one}": 10 * n + m for n, ten in enumerate(_TENS, 2) for m, one in enumerate(_ONES[1:10], 1)},
    **{char: value for value, char in enumerate("零一二三四五六七八九十")},
    "两": 2,
}
_MAGNITUDES = {
    "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "k": 1000, "bn": 10**9,
    "百": 100, "千": 1000, "万": 10**4, "亿": 10**8,
}  # fmt: skip
_MAGNITUDE = lazy_pattern(r"\s*(hundred|thousand|million|billion|trillion|k|bn)\b|\s*([百千万亿])")
_ORDINAL = lazy_pattern(r"(?:st|nd|rd|th)\b")
# Unit -> (dimension, factor).
_UNITS: dict[str, tuple[str, Fraction]] = {}
for _dimension, _sizes in {
    "share": {"%": "1/100", "percent": "1/100", "per cent": "1/100", "pct": "1/100"},
    "angle": {"°": "1", "degree": "1", "deg": "1"},
    "celsius": {"°c": "1", "degree celsius": "1", "degree c": "1", "celsius": "1"},
    "fahrenheit": {"°f": "1", "degree fahrenheit": "1", "degree f": "1", "fahrenheit": "1"},
    "length": {
        "mm": "1/1000", "millimeter": "1/1000", "millimetre": "1/1000", "cm": "1/100", "centimeter": "1/100",
        "centimetre": "1/100", "m": "1", "meter": "1", "metre": "1", "km": "1000", "kilometer": "1000",
        "kilometre": "1000", "in": "0.0254", "inch": "0.0254", "inche": "0.0254", "ft": "0.3048", "foot": "0.3048",
        "feet": "0.3048", "yard": "0.9144", "mi": "1609.344", "mile": "1609.344",
    },
    "mass": {
        "mg": "1/1000", "g": "1", "gram": "1", "kg": "1000", "kilogram": "1000", "kilo": "1000", "lb": "453.59237",
        "pound": "453.59237", "oz": "28.349523125", "ounce": "28.349523125",
    },
    "time": {
        "ms": "1/1000", "s": "1", "sec": "1", "second": "1", "min": "60", "minute": "60", "h": "3600", "hr": "3600",
        "hour": "3600", "day": "86400", "week": "604800",
    },
    "volume": {"ml": "1/1000", "l": "1", "liter": "1", "litre": "1"},
    "speed": {"km/h": "1/3.6", "kph": "1/3.6", "m/s": "1", "mph": "0.44704"},
    "dollar": {"$": "1", "usd": "1", "dollar": "1", "us$": "1"},
    "euro": {"€": "1", "eur": "1", "euro": "1"},
    "sterling": {"£": "1", "gbp": "1"},
    "yuan": {"¥": "1", "cny": "1", "yuan": "1", "rmb": "1", "元": "1"},
}.items():  # fmt: skip
    for _name, _size in _sizes.items():
        _top, _, _bottom = _size.partition("/")
        _UNITS[_name] = (_dimension, Fraction(_top) / Fraction(_bottom or 1))

_CURRENCY = r"(?:us\$|[$€£¥])"
_DIGITS = r"(?:\d{1,3}(?:[,\u00a0\u202f ]\d{3})+(?:\.\d+)?|\d+(?:[.,]\d+)?|\.\d+)"
_LATEX_FRACTION = lazy_pattern(r"\\[dt]?frac\s*\{\s*(-?\d+)\s*\}\s*\{\s*(\d+)\s*\}")
_NUMBER = lazy_pattern(
    rf"(?P<sign>[-+]?)\s*(?P<money>{_CURRENCY})?\s*(?P<minus>-?)(?:(?:(?P<whole>\d+)\s+)?(?P<top>\d+)\s*/\s*(?P<bottom>\d+)(?![\d/])"
    rf"|(?P<digits>{_DIGITS}))(?P<unit>.*)",
    re.DOTALL,
)
_VULGAR = "¼-¾⅐-⅞"
_VULGAR_CHARS = frozenset("¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞")
_LONGEST = 80
_UNIT_WORDS = 3
# A unit contains no further number and no alternative.
_NO_UNIT = lazy_pattern(r"\d|[,;:!?/=<>|]|\b(?:or|and|to|of|per)\b|或|和|到|至")
_DASHES = str.maketrans({"−": "-", "–": "-", "—": "-", "\u2044": "/", "∕": "/"})


def read_number(text: str) -> Number | None:
    """Returns the number that a text consists of, with or without a unit; None if it is anything else.

    "1,234.5", "$1 200", "3/4", "1 1/2", "½", "25 %", "5 km", "3 million", "twelve", "12 red apples" are numbers.
    "about 5", "5-10", "5 or 6", "5, 6", "12:30" and "3D" are not.
    """
    bare = _plain(text)
    if not bare or len(bare) > _LONGEST:
        return None
    if (word := _word(bare)) is not None:
        return _with_unit(Fraction(_WORDS[word]), bare[len(word) :])
    found = _NUMBER.fullmatch(bare)
    value = _value(found) if found is not None else None
    if found is None or value is None:
        return None
    if found["money"] is None:
        return _with_unit(value, found["unit"])
    number = _with_unit(value, found["unit"])
    if number is None or number.dimension is not None or number.words:
        return None
    return Number(number.value, *_UNITS[found["money"]])


def _word(text: str) -> str | None:
    """Returns the number in words at the start of a text."""
    first = text.partition(" ")[0]
    if first in _WORDS:
        return first
    return text[0] if not text[0].isascii() and text[0] in _WORDS else None


def same_number(one: Number, other: Number) -> bool:
    """Returns whether two numbers are equal. Units are compared only if both have one; a percentage is also a share."""
    if one.words and other.words and not (one.words <= other.words or other.words <= one.words):
        return False
    if one.dimension is not None and other.dimension is not None:
        return one.dimension == other.dimension and one.value * one.factor == other.value * other.factor
    if one.value == other.value:
        return True
    share = one if one.dimension == "share" else other if other.dimension == "share" else None
    return share is not None and one.value * one.factor == other.value * other.factor


def _plain(text: str) -> str:
    # NFKC turns "½" into "1⁄2", "2½" into "21⁄2", and "10²" into "102".
    spaced = re.sub(rf"(?<=\d)(?=[{_VULGAR}])", " ", text)
    if any(unicodedata.category(char) == "No" and char not in _VULGAR_CHARS for char in spaced):
        return ""
    plain = unicodedata.normalize("NFKC", spaced).translate(_DASHES).casefold()
    plain = _LATEX_FRACTION.sub(r"\1/\2", plain).replace("\\", "")
    return plain.strip().strip("*_`\"'“”‘’ ").rstrip(".。!！").strip()


def _value(found: re.Match[str]) -> Fraction | None:
    if found["top"] is not None:
        if int(found["bottom"]) == 0:
            return None
        value = Fraction(int(found["top"]), int(found["bottom"])) + int(found["whole"] or 0)
    else:
        value = Fraction(_decimal(found["digits"]))
    if found["sign"] and found["minus"]:
        return None
    return -value if "-" in (found["sign"], found["minus"]) else value


def _decimal(digits: str) -> str:
    """Returns digits without thousands separators, and with a point before decimals."""
    if re.fullmatch(r"\d{1,3}(?:[,\u00a0\u202f ]\d{3})+(?:\.\d+)?", digits):
        return re.sub(r"[,\s\u00a0\u202f]", "", digits)
    return digits.replace(",", ".")


def _with_unit(value: Fraction, tail: str) -> Number | None:
    if (times := _MAGNITUDE.match(tail)) is not None:
        value *= _MAGNITUDES[times[1] or times[2]]
        tail = tail[times.end() :]
    unit = " ".join(tail.split()).strip(".")
    for name in (unit, unit.removesuffix("s"), unit.replace("degrees", "degree")):
        if name in _UNITS:
            return Number(value, *_UNITS[name])
    if tail[:1].isascii() and tail[:1].isalpha():  # "3D", "7up"
        if _ORDINAL.match(tail) is None:
            return None
        unit = unit[2:].strip()
    words = unit.split()
    if len(words) > _UNIT_WORDS or _NO_UNIT.search(unit) or any(word in _WORDS for word in words):
        return None
    if unit and not any(map(str.isalpha, unit)):
        return None
    return Number(value, words=frozenset(word.removesuffix("s") for word in words))
