"""Jinja expressions over a record's fields."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import lru_cache

import jinja2
import jinja2.meta

from mminf.errors import shorten_text
from mminf.record import Json
from mminf.sandbox import begin, end
from mminf.template.environment import ENVIRONMENT, compiling, evaluation_error, make_context
from mminf.template.operators import parse, split

_KEEPING = frozenset({"list", "map", "reverse", "sort"})
_LEAVING_OUT = frozenset({"reject", "rejectattr", "select", "selectattr", "unique"})
"""Filters whose result has all, or some, of the items of a list."""


class Expression:
    """A Jinja expression over a record's fields, as in `keep`, `when` and `where`.

    Raises:
        jinja2.TemplateSyntaxError: if the text is not an expression.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        with compiling(f"expression {shorten_text(source)!r}"):
            self.reads, self._compiled = _compile(source)

    def __reduce__(self) -> tuple[type[Expression], tuple[str]]:
        return Expression, (self.source,)

    def __call__(self, fields: Mapping[str, object]) -> Json:
        """Returns the expression's value.

        Raises:
            RecordError: if a field is missing or the operation fails on this record's values.
        """
        before = begin()
        try:
            return self._value(fields)
        except Exception as error:
            raise evaluation_error(repr(self.source), error) from error
        finally:
            end(before)

    def test(self, fields: Mapping[str, object]) -> bool:
        """Returns whether the expression is true. Raises as `__call__` does."""
        before = begin()
        try:
            return bool(self._value(fields))
        except Exception as error:
            raise evaluation_error(repr(self.source), error) from error
        finally:
            end(before)

    def _value(self, fields: Mapping[str, object]) -> Json:
        context = make_context(self._compiled, {name: fields[name] for name in self.reads if name in fields})
        deque(self._compiled.root_render_func(context), maxlen=0)
        value = context.vars["result"]
        if isinstance(value, jinja2.Undefined):
            str(value)  # a strict undefined value raises an error when it is used
        found: Json = value
        return found

    def parts(self) -> tuple[Expression, ...]:
        """Returns the operands of the outermost `and`s, or the expression itself if there is no `and`."""
        if not isinstance(parse(self.source), jinja2.nodes.And):
            return (self,)
        return tuple(Expression(text) for text in split(self.source, {"and"})[0])

    def source_list(self) -> tuple[str, bool] | None:
        """Returns the list field that the value is made of by filters and slices, and whether it keeps all items.

        For example, `("answers", False)` for `answers | unique | list`. None if the value is made in another way.
        """
        node, whole = parse(self.source), True
        while True:
            if isinstance(node, jinja2.nodes.Filter) and node.name in _KEEPING | _LEAVING_OUT and node.node is not None:
                whole = whole and node.name in _KEEPING
                node = node.node
            elif isinstance(node, jinja2.nodes.Getitem) and isinstance(node.arg, jinja2.nodes.Slice):
                node, whole = node.node, False
            else:
                return (node.name, whole) if isinstance(node, jinja2.nodes.Name) else None


@lru_cache(maxsize=512)
def _compile(source: str) -> tuple[frozenset[str], jinja2.Template]:
    compiled = ENVIRONMENT.compile_expression(source, undefined_to_none=False)
    names = jinja2.meta.find_undeclared_variables(ENVIRONMENT.parse("{{ (" + source + ") }}"))
    return frozenset(names - set(ENVIRONMENT.globals)), compiled._template
