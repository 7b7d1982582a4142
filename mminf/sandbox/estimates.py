"""Estimates the size of the result of an operator, filter or method before it is computed."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping, Sized

import jinja2

from mminf.sandbox.work import CHARACTERS, check_digits, spend, weigh

MOST_REPEATED = 1_000_000
"""Largest width, count or length that a filter or method takes."""
MOST_PRECISE = 100
"""Largest number of digits for `round`, and of columns for `tojson(indent=...)`."""
_NUMBER = re.compile(r"\d+")


def make_range(*bounds: int) -> range:
    """Jinja's global `range`, which counts as its length."""
    made = range(*bounds)
    spend(len(made))
    return made


def check_product(left: object, right: object) -> None:
    """Checks the result of `left * right`. Raises TemplateRuntimeError if it is too large."""
    if isinstance(left, int) and isinstance(right, int):
        check_digits(left.bit_length() + right.bit_length())
        return
    for many, times in ((left, right), (right, left)):
        if isinstance(many, str | bytes | list | tuple) and isinstance(times, int):
            spend(weigh(many) * max(0, times))  # with nested items, which are printed, compared and summed, too


def check_power(left: object, right: object) -> None:
    """Checks the result of `left ** right`. Raises TemplateRuntimeError if it is too large."""
    if isinstance(left, int) and isinstance(right, int) and right > 0 and left not in (-1, 0, 1):
        check_digits(left.bit_length() * right)


def check_percent(text: str, values: object) -> None:
    """Checks the widths of a %-format: those in the text, and the values for `*`."""
    if "%" in text:
        spend(_numbers_in(text) // CHARACTERS + weigh(values))
        if "*" in text:
            for value in values if isinstance(values, tuple) else (values,):
                _bound(value)


def check_format(text: str) -> None:
    """Checks the widths in the text of `str.format`. Raises TemplateRuntimeError if they are too large."""
    try:
        fields = list(string.Formatter().parse(text))
    except ValueError:
        return  # formatting reports it
    for _, _, layout, _ in fields:
        if layout and "{" in layout:
            raise jinja2.TemplateRuntimeError("a format whose width is a field is not supported")
        spend(_numbers_in(layout or "") // CHARACTERS)


def _numbers_in(text: str) -> int:
    numbers = _NUMBER.findall(text)
    if any(len(number) > 18 for number in numbers):
        raise jinja2.TemplateRuntimeError("a width in a format is too large")
    return sum(map(int, numbers))


def _bound(value: object, most: int = MOST_REPEATED) -> int:
    """Returns a width, count or length, 0 if it is not a number. Raises TemplateRuntimeError if it is too large."""
    if isinstance(value, int) and abs(value) > most:
        raise jinja2.TemplateRuntimeError(f"{value:.4g} is too large; at most {most:,}")
    return value if isinstance(value, int) else 0


def size_of(value: object) -> int:
    """Returns the number of items or characters of a value, 0 if it has none."""
    return len(value) if isinstance(value, Sized) else 0


# Maximum size of the result of methods and filters, by their owner and arguments.
def _padded(owner: object, width: object = 0, *_: object, **__: object) -> int:
    return max(size_of(owner), _bound(width))


def _replaced(owner: object, old: object = "", new: object = "", *_: object, **__: object) -> int:
    text, old, new = str(owner), str(old), str(new)
    return len(text) + text.count(old) * len(new)


def _joined(parts: object, separator: object = "") -> int:
    if isinstance(parts, str):
        return len(parts) * (1 + size_of(separator))
    if not isinstance(parts, list | tuple | dict):
        return 0
    return CHARACTERS * weigh(parts) + len(parts) * size_of(separator)


def _translated(owner: object, table: object = None) -> int:
    longest = max(map(size_of, table.values()), default=1) if isinstance(table, Mapping) else 1
    return size_of(owner) * max(1, longest)


METHOD_ESTIMATES: dict[str, Callable[..., int]] = {
    "center": _padded,
    "ljust": _padded,
    "rjust": _padded,
    "zfill": _padded,
    "to_bytes": _padded,
    "expandtabs": lambda owner, tabsize=8: len(owner) + owner.count("\t") * _bound(tabsize),
    "replace": _replaced,
    "join": lambda owner, parts: _joined(parts, owner),
    "translate": _translated,
}


def _indented(value: object, width: object = 4, *_: object, **__: object) -> int:
    return (str(value).count("\n") + 1) * (_bound(width) if isinstance(width, int) else size_of(width))


def _truncated(_value: object, length: object = 255, *_: object, **__: object) -> int:
    _bound(length)
    return 0


def _wrapped(value: object, width: object = 79, *_: object, **more: object) -> int:
    """Each line costs as much as 500 characters."""
    lines = size_of(value) // max(1, _bound(width))
    return size_of(value) + lines * (500 + size_of(more.get("wrapstring")))


def _batched(value: object, count: object = 1, fill_with: object = None, **more: object) -> int:
    count = next(iter(more.values()), count) if more else count
    return CHARACTERS * (size_of(value) + _bound(count) * weigh(fill_with))


def _rounded(_value: object, precision: object = 0, *_: object, **__: object) -> int:
    _bound(precision, MOST_PRECISE)
    return 0


def _dumped(value: object, indent: object = None, *_: object, **__: object) -> int:
    return CHARACTERS * weigh(value) * (1 + _bound(indent, MOST_PRECISE))


def _printed(value: object, *_: object, **__: object) -> int:
    return CHARACTERS * weigh(value)


def _summed(value: object, _attribute: object = None, start: object = 0, **_: object) -> int:
    """Rejects sums of lists or texts, which would copy the partial sum for each item."""
    if not isinstance(start, int | float):
        raise jinja2.TemplateRuntimeError(f"`sum` adds numbers, not {type(start).__name__}")
    return size_of(value)


def _stripped(value: object, *_: object, **__: object) -> int:
    """The whole text is copied for each comment."""
    return size_of(value) * (1 + str(value).count("<!--"))


FILTER_ESTIMATES: dict[str, Callable[..., int]] = {
    "center": lambda value, width=80: max(size_of(value), _bound(width)),
    "indent": _indented,
    "truncate": _truncated,
    "wordwrap": _wrapped,
    "batch": _batched,
    "slice": _batched,
    "round": _rounded,
    "tojson": _dumped,
    "string": _printed,
    "pprint": _printed,
    "escape": _printed,
    "e": _printed,
    "forceescape": _printed,
    "urlencode": _printed,
    "xmlattr": _printed,
    "sum": _summed,
    "replace": _replaced,
    "join": lambda value, d="", *_, **__: _joined(value, d),
    "striptags": _stripped,
}
