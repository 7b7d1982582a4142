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


class Expression:
    """A Jinja expression over a record's fields, as in `keep`, `when` and `where`.

    Raises:
        jinja2.TemplateSyntaxError: if the text is not an expression.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        with compiling("expression"):
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
        (output,) = ENVIRONMENT.parse("{{ (" + self.source + ") }}").body
        assert isinstance(output, jinja2.nodes.Output)
        if not isinstance(output.nodes[0], jinja2.nodes.And):
            return (self,)
        texts, depth = [""], 0
        # The outermost operator is `and`, so an `and` outside of brackets is not inside of an `or`, `not` or `if`.
        for _, kind, text in list(ENVIRONMENT.lex("{{" + self.source + "}}"))[1:-1]:
            depth += (text in "([{") - (text in ")]}") if kind == "operator" else 0
            if kind == "name" and text == "and" and depth == 0:
                texts.append("")
            else:
                texts[-1] += text
        return tuple(Expression(text.strip()) for text in texts)


def failed_check(check: Expression, fields: Mapping[str, object]) -> str:
    """Returns why a record was dropped: the false condition and the values of its fields."""
    values = ", ".join(
        f"{name}={shorten_text(repr(fields[name]), 200)}" if name in fields else f"no {name}"
        for name in sorted(check.reads)
    )
    return f"not {check.source} ({values[:200]})"


@lru_cache(maxsize=512)
def _compile(source: str) -> tuple[frozenset[str], jinja2.Template]:
    compiled = ENVIRONMENT.compile_expression(source, undefined_to_none=False)
    names = jinja2.meta.find_undeclared_variables(ENVIRONMENT.parse("{{ (" + source + ") }}"))
    return frozenset(names - set(ENVIRONMENT.globals)), compiled._template
