"""The Jinja environment of templates and expressions: sandboxed, and bounded in the work that one evaluation may do.

Jinja's sandbox keeps templates from attributes and methods that are not meant for them. It does not keep them from
`9 ** 9 ** 9`, `'x' * 10 ** 12` or `{{ text | center(10 ** 12) }}`, which hang a process that can't even be interrupted
then. So operators, filters and methods that can make much out of little say beforehand what they would make; an
evaluation has a budget of characters and items (limit `expression_work`).

Docs: Jinja, "Sandbox", "Sandbox > Operator Intercepting".
"""

from __future__ import annotations

import contextlib
import functools
import re
import string
import threading
from collections.abc import Callable, Iterator, Mapping, Sized
from typing import Any

import jinja2
from jinja2.compiler import CodeGenerator
from jinja2.filters import FILTERS
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mminf.limits import EXPRESSION_DIGITS, EXPRESSION_WORK

MOST_REPEATED = 1_000_000
"""Width, count or length at most that is given to a filter or method."""
MOST_PRECISE = 100
"""Digits at most for `round`."""
_BITS_A_DIGIT = 3.33
_NUMBER = re.compile(r"\d+")


class _Counter(threading.local):
    left: int | None = None


_counter = _Counter()


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Gives an evaluation its budget."""
    before, _counter.left = _counter.left, EXPRESSION_WORK.value
    try:
        yield
    finally:
        _counter.left = before


def spend(amount: int) -> None:
    """Takes from the evaluation's budget. Raises TemplateRuntimeError if it is used up."""
    left = EXPRESSION_WORK.value if _counter.left is None else _counter.left
    if amount > left:
        raise jinja2.TemplateRuntimeError(f"it makes too much: {EXPRESSION_WORK}")
    if _counter.left is not None:
        _counter.left = left - amount


class _Generator(CodeGenerator):
    """Lets `~` go through the environment, as the operators do."""

    def visit_Concat(self, node: jinja2.nodes.Concat, frame: Any) -> None:
        self.write("environment.join_texts((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Jinja's environment for immutable sandboxes, with bounds."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})
    code_generator_class = _Generator

    def __init__(self, **options: Any) -> None:
        super().__init__(undefined=jinja2.StrictUndefined, **options)
        self.filters = {name: _bound_filter(name, function) for name, function in FILTERS.items()}
        self.globals = {"range": _make_range}

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Runs an operator, if what it makes is not too much."""
        if operator == "*":
            _check_product(left, right)
        elif operator == "**":
            _check_power(left, right)
        elif operator == "%" and isinstance(left, str):
            _check_percent(left, right)
        made = self.binop_table[operator](left, right)
        if isinstance(made, str | list | tuple | bytes):
            spend(len(made))
        elif isinstance(made, int):
            _check_digits(made.bit_length())
        return made

    def join_texts(self, parts: tuple[Any, ...]) -> str:
        """The operator `~`."""
        texts = [str(part) for part in parts]
        spend(sum(map(len, texts)))
        return "".join(texts)

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Calls a method or macro, if what it makes is not too much."""
        spend(1)
        owner = getattr(__obj, "__self__", None)
        if isinstance(owner, str | bytes | int) and (estimate := _METHODS.get(getattr(__obj, "__name__", ""))):
            spend(estimate(owner, *args, **kwargs))
        made = super().call(__context, __obj, *args, **kwargs)
        if isinstance(made, str | list | tuple | bytes):
            spend(len(made))
        return made

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Wraps `str.format`, whose fields may have a width."""
        wrapped = super().wrap_str_format(value)
        if wrapped is not None:
            _check_format(value.__self__)
        return wrapped


def _make_range(*bounds: int) -> range:
    made = range(*bounds)
    spend(len(made))
    return made


def _check_product(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        _check_digits(left.bit_length() + right.bit_length())
        return
    for many, times in ((left, right), (right, left)):
        if isinstance(many, str | bytes | list | tuple) and isinstance(times, int):
            spend(len(many) * max(0, times))


def _check_power(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int) and right > 0 and left not in (-1, 0, 1):
        _check_digits(left.bit_length() * right)


def _check_digits(bits: int) -> None:
    if bits > EXPRESSION_DIGITS.value * _BITS_A_DIGIT:
        raise jinja2.TemplateRuntimeError(f"the number is too large: {EXPRESSION_DIGITS}")


def _check_percent(text: str, values: Any) -> None:
    """Bounds the widths of a %-format: those in the text, and those that stand for `*` among the values."""
    if "%" in text:
        spend(_numbers_in(text))
        if "*" in text:
            for value in values if isinstance(values, tuple) else (values,):
                _bound(value)


def _check_format(text: str) -> None:
    try:
        fields = list(string.Formatter().parse(text))
    except ValueError:
        return  # formatting will say so
    for _, _, layout, _ in fields:
        if layout and "{" in layout:
            raise jinja2.TemplateRuntimeError("a format whose width is a field is not supported")
        spend(_numbers_in(layout or ""))


def _numbers_in(text: str) -> int:
    numbers = _NUMBER.findall(text)
    if any(len(number) > 18 for number in numbers):
        raise jinja2.TemplateRuntimeError("a format has a width without measure")
    return sum(map(int, numbers))


def _bound(value: Any, most: int = MOST_REPEATED) -> int:
    """Returns a number that says how often something is repeated. Raises TemplateRuntimeError if it is too large."""
    if isinstance(value, int) and abs(value) > most:
        raise jinja2.TemplateRuntimeError(f"{value:.4g} is too much; at most {most:,}")
    return value if isinstance(value, int) else 0


def _size(value: Any) -> int:
    return len(value) if isinstance(value, Sized) else 0


# What methods and filters make at most, by their owner and arguments.
def _padded(owner: Any, width: Any = 0, *_: Any, **__: Any) -> int:
    return max(_size(owner), _bound(width))


def _replaced(owner: Any, old: Any = "", new: Any = "", *_: Any, **__: Any) -> int:
    text, old, new = str(owner), str(old), str(new)
    return len(text) + text.count(old) * len(new)


def _joined(parts: Any, separator: Any = "") -> int:
    if isinstance(parts, str):
        return len(parts) * (1 + _size(separator))
    return sum(map(_size, parts)) + len(parts) * _size(separator) if isinstance(parts, list | tuple) else 0


def _translated(owner: Any, table: Any = None) -> int:
    longest = max(map(_size, table.values()), default=1) if isinstance(table, Mapping) else 1
    return _size(owner) * max(1, longest)


_METHODS: dict[str, Callable[..., int]] = {
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


def _indented(value: Any, width: Any = 4, *_: Any, **__: Any) -> int:
    return (str(value).count("\n") + 1) * (_bound(width) if isinstance(width, int) else _size(width))


def _truncated(_value: Any, length: Any = 255, *_: Any, **__: Any) -> int:
    _bound(length)
    return 0


def _wrapped(value: Any, width: Any = 79, *_: Any, **more: Any) -> int:
    return _size(value) + _size(value) // max(1, _bound(width)) * _size(more.get("wrapstring"))


def _batched(value: Any, linecount: Any = 1, *_: Any, **__: Any) -> int:
    return _size(value) + _bound(linecount)


def _sliced(value: Any, slices: Any = 1, *_: Any, **__: Any) -> int:
    return _size(value) + _bound(slices)


def _rounded(_value: Any, precision: Any = 0, *_: Any, **__: Any) -> int:
    _bound(precision, MOST_PRECISE)
    return 0


def _dumped(_value: Any, indent: Any = None, *_: Any, **__: Any) -> int:
    _bound(indent, MOST_PRECISE)
    return 0


def _stripped(value: Any, *_: Any, **__: Any) -> int:
    """Each comment is cut out of the whole text."""
    return _size(value) * (1 + str(value).count("<!--"))


_FILTERS: dict[str, Callable[..., int]] = {
    "center": lambda value, width=80: max(_size(value), _bound(width)),
    "indent": _indented,
    "truncate": _truncated,
    "wordwrap": _wrapped,
    "batch": _batched,
    "slice": _sliced,
    "round": _rounded,
    "tojson": _dumped,
    "replace": _replaced,
    "join": lambda value, d="", *_, **__: _joined(value, d),
    "striptags": _stripped,
}


def _bound_filter(name: str, function: Any) -> Any:
    estimate = _FILTERS.get(name)
    first = 1 if hasattr(function, "jinja_pass_arg") else 0  # the context or environment comes before the value

    @functools.wraps(function)
    def bound(*args: Any, **kwargs: Any) -> Any:
        if name == "join" and not isinstance(args[first], Sized):  # a generator, whose items are not known yet
            args = (*args[:first], list(args[first]), *args[first + 1 :])
        if name == "format":
            _check_percent(str(args[first]), (*args[first + 1 :], *kwargs.values()))
        elif estimate is not None:
            spend(1 + estimate(*args[first:], **kwargs))
        made = function(*args, **kwargs)
        if isinstance(made, str | list | tuple | dict):
            spend(len(made))
        elif isinstance(made, int) and not isinstance(made, bool):
            _check_digits(made.bit_length())
        return made

    return bound
