"""The Jinja environment of templates and expressions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import cast

import jinja2
from jinja2.compiler import CodeGenerator
from jinja2.filters import FILTERS
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mminf.sandbox.estimates import (
    FILTER_ESTIMATES,
    METHOD_ESTIMATES,
    check_format,
    check_percent,
    check_power,
    check_product,
    make_range,
    size_of,
)
from mminf.sandbox.work import CHARACTERS, pay, spend, weigh

_CONSTANT = frozenset({"length", "count", "first", "default", "d", "attr", "random"})
"""Filters whose cost does not depend on the size of their value."""


class _Generator(CodeGenerator):
    """Compiles `~` to a call of the environment, like the intercepted operators."""

    def visit_Concat(self, node: jinja2.nodes.Concat, frame: object) -> None:
        self.write("environment.join_texts((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


COUNTED, WEIGHED = "_counted", "_weighed"


def _weigh_literals(node: jinja2.nodes.Node) -> None:
    """Makes literal lists and mappings count with all of their items: `[a, a]` counts as twice `a`."""
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


def _weighed(value: object) -> object:
    spend(weigh(value))
    return value


def _counted(value: Iterable[object]) -> Iterator[object]:
    for item in value:
        spend(1)
        yield item


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Jinja's immutable sandboxed environment with limits."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})
    code_generator_class = _Generator

    def __init__(self, **options: object) -> None:
        super().__init__(undefined=jinja2.StrictUndefined, **options)
        self.filters = {name: _bound_filter(name, function) for name, function in FILTERS.items()}
        self.filters |= {COUNTED: _counted, WEIGHED: _weighed}
        self.globals = {"range": make_range}

    def _generate(
        self, source: jinja2.nodes.Template, name: str | None, filename: str | None, defer_init: bool = False
    ) -> str:
        """Compiles a template so that its loops count their iterations, and its lists their items."""
        for loop in list(source.find_all(jinja2.nodes.For)):
            loop.iter = jinja2.nodes.Filter(loop.iter, COUNTED, [], [], None, None, lineno=loop.lineno)
        _weigh_literals(source)
        return super()._generate(source, name, filename, defer_init)

    def call_binop(self, context: object, operator: str, left: object, right: object) -> object:
        """Runs an operator, unless its result would be too large."""
        if operator == "*":
            check_product(left, right)
        elif operator == "**":
            check_power(left, right)
        elif operator == "%" and isinstance(left, str):
            check_percent(left, right)
        made = self.binop_table[operator](left, right)
        if type(made) is not float:
            pay(made)
        return made

    def join_texts(self, parts: tuple[object, ...]) -> str:
        """The operator `~`."""
        spend(sum(map(weigh, parts)))
        return "".join(map(str, parts))

    def call(__self, __context: Context, __obj: object, *args: object, **kwargs: object) -> object:
        """Calls a method or macro, unless its result would be too large."""
        spend(1)
        owner, name = getattr(__obj, "__self__", None), getattr(__obj, "__name__", "")
        if name == "join" and args and not isinstance(args[0], Sized):
            args = (_as_list(args[0]), *args[1:])
        if isinstance(owner, str | bytes | int | list | tuple | dict):
            spend(size_of(owner) // CHARACTERS)
            if estimate := METHOD_ESTIMATES.get(name):
                spend(estimate(owner, *args, **kwargs) // CHARACTERS)
        made = super().call(__context, __obj, *args, **kwargs)
        pay(made)
        return made

    def wrap_str_format(self, value: object) -> Callable[..., str] | None:
        """Wraps `str.format` with a limit on widths and arguments."""
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None
        owner = getattr(value, "__self__", None)
        assert isinstance(owner, str)
        check_format(owner)

        def bounded(*args: object, **kwargs: object) -> str:
            spend(weigh(args) + weigh(kwargs))
            return wrapped(*args, **kwargs)

        return bounded


def _as_list(value: object) -> list[object]:
    return list(cast("Iterable[object]", value))


def _bound_filter(name: str, function: Callable[..., object]) -> Callable[..., object]:
    estimate = FILTER_ESTIMATES.get(name)
    first = 1 if hasattr(function, "jinja_pass_arg") else 0  # the context or environment comes before the value

    @functools.wraps(function)
    def bound(*args: object, **kwargs: object) -> object:
        value = args[first]
        if name == "join" and not isinstance(value, Sized):  # a generator, whose items are not known yet
            value = _as_list(value)
            args = (*args[:first], value, *args[first + 1 :])
        if name not in _CONSTANT:
            spend(1 + (size_of(value) if not isinstance(value, str) else len(value) // CHARACTERS))
        if name == "format":
            check_percent(str(value), (*args[first + 1 :], *kwargs.values()))
        elif estimate is not None:
            spend(estimate(*args[first:], **kwargs) // CHARACTERS)
        made = function(*args, **kwargs)
        if isinstance(made, Iterator):
            return _counted(made)
        pay(made)
        return made

    return bound
