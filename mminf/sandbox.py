"""The Jinja environment of templates and expressions: sandboxed, and bounded in the work that one evaluation may do.

Jinja's sandbox keeps templates from attributes and methods that are not meant for them. It does not keep them from
`9 ** 9 ** 9`, `'x' * 10 ** 12` or `{{ text | center(10 ** 12) }}`, which hang a process that can't even be interrupted
then. So operators, filters and methods that can make much out of little say beforehand what they would make; an
evaluation has a budget of characters and items (limit `expression_work`).

Docs: Jinja, "Sandbox", "Sandbox > Operator Intercepting".
"""

from __future__ import annotations

import functools
import re
import string
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sized
from typing import Any

import jinja2
from jinja2.compiler import CodeGenerator
from jinja2.filters import FILTERS
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mminf.limits import EXPRESSION_DIGITS, EXPRESSION_SECONDS, EXPRESSION_WORK

MOST_REPEATED = 1_000_000
"""Width, count or length at most that is given to a filter or method."""
MOST_PRECISE = 100
"""Digits at most for `round`, and columns at most for `tojson(indent=...)`."""
CHARACTERS = 8
"""So many characters cost as much as one item: they are copied, not visited."""
_BITS_A_DIGIT = 3.33
_NUMBER = re.compile(r"\d+")
_CONSTANT = frozenset({"length", "count", "first", "default", "d", "attr", "random"})
"""Filters that don't look at the whole of their value."""


class _Evaluation(threading.local):
    """What the evaluation of this thread may still do.

    Attributes:
        left: work; None outside of evaluations.
        until: time at which it ends.
    """

    left: int | None = None
    until: float = 0.0


_now = _Evaluation()


def begin() -> int | None:
    """Begins an evaluation with a budget of its own. Returns what `end` needs."""
    before, _now.left = _now.left, EXPRESSION_WORK.value
    _now.until = time.monotonic() + EXPRESSION_SECONDS.value
    return before


def end(before: int | None) -> None:
    """Ends an evaluation."""
    _now.left = before


def spend(amount: int) -> None:
    """Takes from the evaluation's budget. Raises TemplateRuntimeError if it is used up, or the time is over."""
    left = _now.left
    if left is None:
        if amount > EXPRESSION_WORK.value:
            raise _too_much()
        return
    if amount > left:
        raise _too_much()
    _now.left = left - amount
    if time.monotonic() > _now.until:
        raise jinja2.TemplateRuntimeError(f"it takes too long: {EXPRESSION_SECONDS}")


def _too_much() -> jinja2.TemplateRuntimeError:
    return jinja2.TemplateRuntimeError(f"it makes too much: {EXPRESSION_WORK}")


def weigh(value: Any) -> int:
    """Returns how much a value is, with all that is in it, at least 1. Raises as `spend` does, if that is too much."""
    most = EXPRESSION_WORK.value if _now.left is None else _now.left
    total, stack = 0, [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str | bytes):
            total += 1 + len(item) // CHARACTERS
        elif isinstance(item, list | tuple):
            total += 1
            if len(item) > most - total:
                raise _too_much()
            stack.extend(item)
        elif isinstance(item, dict):
            total += 1
            stack.extend(item)
            stack.extend(item.values())
        else:
            total += len(item) if isinstance(item, range) else 1
        if total > most:
            raise _too_much()
    return total


class _Generator(CodeGenerator):
    """Lets `~` go through the environment, as the operators do."""

    def visit_Concat(self, node: jinja2.nodes.Concat, frame: Any) -> None:
        self.write("environment.join_texts((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


COUNTED, WEIGHED = "_counted", "_weighed"


def _weigh_literals(node: jinja2.nodes.Node) -> None:
    """Lets lists and mappings that a template writes out count with all that is in them: `[a, a]` is twice `a`."""
    for field in node.fields:
        found = getattr(node, field, None)
        items = found if isinstance(found, list) else [found]
        for number, item in enumerate(items):
            if not isinstance(item, jinja2.nodes.Node):
                continue
            _weigh_literals(item)
            made = isinstance(item, jinja2.nodes.List | jinja2.nodes.Dict) or (
                isinstance(item, jinja2.nodes.Tuple) and item.ctx == "load"
            )
            if made and not (isinstance(node, jinja2.nodes.Filter) and node.name == WEIGHED):
                weighed = jinja2.nodes.Filter(item, WEIGHED, [], [], None, None, lineno=item.lineno)
                if isinstance(found, list):
                    found[number] = weighed
                else:
                    setattr(node, field, weighed)


def _weighed(value: Any) -> Any:
    spend(weigh(value))
    return value


def _counted(value: Any) -> Iterator[Any]:
    for item in value:
        spend(1)
        yield item


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Jinja's environment for immutable sandboxes, with bounds."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})
    code_generator_class = _Generator

    def __init__(self, **options: Any) -> None:
        super().__init__(undefined=jinja2.StrictUndefined, **options)
        self.filters = {name: _bound_filter(name, function) for name, function in FILTERS.items()}
        self.filters |= {COUNTED: _counted, WEIGHED: _weighed}
        self.globals = {"range": _make_range}

    def _generate(self, source: jinja2.nodes.Template, *args: Any, **kwargs: Any) -> str:
        """Compiles a template whose loops count what they go through, and whose lists what they hold."""
        for loop in list(source.find_all(jinja2.nodes.For)):
            loop.iter = jinja2.nodes.Filter(loop.iter, COUNTED, [], [], None, None, lineno=loop.lineno)
        _weigh_literals(source)
        return super()._generate(source, *args, **kwargs)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Runs an operator, if what it makes is not too much."""
        if operator == "*":
            _check_product(left, right)
        elif operator == "**":
            _check_power(left, right)
        elif operator == "%" and isinstance(left, str):
            _check_percent(left, right)
        made = self.binop_table[operator](left, right)
        if type(made) is not float:
            _pay(made)
        return made

    def join_texts(self, parts: tuple[Any, ...]) -> str:
        """The operator `~`."""
        spend(sum(map(weigh, parts)))
        return "".join(map(str, parts))

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Calls a method or macro, if what it makes is not too much."""
        spend(1)
        owner, name = getattr(__obj, "__self__", None), getattr(__obj, "__name__", "")
        if name == "join" and args and not isinstance(args[0], Sized):
            args = (list(args[0]), *args[1:])
        if isinstance(owner, str | bytes | int | list | tuple | dict):
            spend(_size(owner) // CHARACTERS)
            if estimate := _METHODS.get(name):
                spend(estimate(owner, *args, **kwargs) // CHARACTERS)
        made = super().call(__context, __obj, *args, **kwargs)
        _pay(made)
        return made

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Wraps `str.format`, whose fields may have a width, and whose arguments may be large."""
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None
        _check_format(value.__self__)

        def bounded(*args: Any, **kwargs: Any) -> str:
            spend(weigh(args) + weigh(kwargs))
            return wrapped(*args, **kwargs)

        return bounded


def _pay(made: Any) -> None:
    """Spends what was made: texts by their characters, lists by their items."""
    if isinstance(made, str | bytes):
        spend(len(made) // CHARACTERS)
    elif isinstance(made, list | tuple | dict):
        spend(len(made))
    elif isinstance(made, int) and not isinstance(made, bool):
        _check_digits(made.bit_length())


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
            spend(weigh(many) * max(0, times))  # all that is in it: lists of lists are printed, compared and added up


def _check_power(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int) and right > 0 and left not in (-1, 0, 1):
        _check_digits(left.bit_length() * right)


def _check_digits(bits: int) -> None:
    if bits > EXPRESSION_DIGITS.value * _BITS_A_DIGIT:
        raise jinja2.TemplateRuntimeError(f"the number is too large: {EXPRESSION_DIGITS}")


def _check_percent(text: str, values: Any) -> None:
    """Bounds the widths of a %-format: those in the text, and those that stand for `*` among the values."""
    if "%" in text:
        spend(_numbers_in(text) // CHARACTERS + weigh(values))
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
        spend(_numbers_in(layout or "") // CHARACTERS)


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
    many = isinstance(parts, list | tuple | dict)
    return CHARACTERS * weigh(parts) + len(parts) * _size(separator) if many else 0


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
    """A line costs as much as some hundred characters."""
    lines = _size(value) // max(1, _bound(width))
    return _size(value) + lines * (500 + _size(more.get("wrapstring")))


def _batched(value: Any, count: Any = 1, fill_with: Any = None, **more: Any) -> int:
    count = next(iter(more.values()), count) if more else count
    return CHARACTERS * (_size(value) + _bound(count) * weigh(fill_with))


def _rounded(_value: Any, precision: Any = 0, *_: Any, **__: Any) -> int:
    _bound(precision, MOST_PRECISE)
    return 0


def _dumped(value: Any, indent: Any = None, *_: Any, **__: Any) -> int:
    return CHARACTERS * weigh(value) * (1 + _bound(indent, MOST_PRECISE))


def _printed(value: Any, *_: Any, **__: Any) -> int:
    return CHARACTERS * weigh(value)


def _summed(value: Any, _attribute: Any = None, start: Any = 0, **_: Any) -> int:
    """Adding up lists or texts would copy what there is for each of them."""
    if not isinstance(start, int | float):
        raise jinja2.TemplateRuntimeError(f"`sum` adds numbers, not {type(start).__name__}")
    return _size(value)


def _stripped(value: Any, *_: Any, **__: Any) -> int:
    """Each comment is cut out of the whole text."""
    return _size(value) * (1 + str(value).count("<!--"))


_FILTERS: dict[str, Callable[..., int]] = {
    "center": lambda value, width=80: max(_size(value), _bound(width)),
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


def _bound_filter(name: str, function: Any) -> Any:
    estimate = _FILTERS.get(name)
    first = 1 if hasattr(function, "jinja_pass_arg") else 0  # the context or environment comes before the value

    @functools.wraps(function)
    def bound(*args: Any, **kwargs: Any) -> Any:
        value = args[first]
        if name == "join" and not isinstance(value, Sized):  # a generator, whose items are not known yet
            value = list(value)
            args = (*args[:first], value, *args[first + 1 :])
        if name not in _CONSTANT:
            spend(1 + (_size(value) if not isinstance(value, str) else len(value) // CHARACTERS))
        if name == "format":
            _check_percent(str(value), (*args[first + 1 :], *kwargs.values()))
        elif estimate is not None:
            spend(estimate(*args[first:], **kwargs) // CHARACTERS)
        made = function(*args, **kwargs)
        if isinstance(made, Iterator):
            return _counted(made)
        _pay(made)
        return made

    return bound
