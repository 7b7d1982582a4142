"""Says why an expression is false for a record, as a statement that is true: `solvability 2 < 3`.

The forms of a statement are those that `mminf.reasons.statement_form` reads: the value of an operand follows its name
(`solvability 2`) or an equals sign (`solvability + clarity = 6`), and constants of the expression have no name.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jinja2
from jinja2 import nodes

from mminf.errors import RecordError, shorten_text
from mminf.template.expression import Expression
from mminf.template.operators import is_negation, parse, split, without_brackets

Fields = Mapping[str, object]
LONGEST_VALUE = 60
"""Maximum length of a value in a statement, in characters."""


class _Comparison(NamedTuple):
    """A comparison, and how its result is said.

    Attributes:
        test: what the comparison computes.
        words: between the operands; `, not` needs no space before it.
        opposite: the name of the comparison that is true if this one is false.
        mirrored: the name of the comparison that is true if the operands change places; None: they can't.
    """

    test: Callable[[Any, Any], bool]
    words: str
    opposite: str
    mirrored: str | None


_COMPARISONS = {
    "<": _Comparison(operator.lt, " <", ">=", ">"),
    "<=": _Comparison(operator.le, " <=", ">", ">="),
    ">": _Comparison(operator.gt, " >", "<=", "<"),
    ">=": _Comparison(operator.ge, " >=", "<", "<="),
    "==": _Comparison(operator.eq, " ==", "!=", "=="),
    "!=": _Comparison(operator.ne, ", not", "==", "!="),
    "in": _Comparison(lambda left, right: left in right, " is in", "not in", None),
    "not in": _Comparison(lambda left, right: left not in right, " is not in", "in", None),
}
_KINDS = {
    "string": "a string",
    "number": "a number",
    "integer": "an integer",
    "float": "a float",
    "boolean": "a boolean",
    "mapping": "a mapping",
    "sequence": "a sequence",
}
"""The tests of Jinja that are nouns, as a statement says them."""
_CONSTANTS = {True: "true", False: "false", None: "none"}


def false_statement(check: Expression, fields: Fields) -> str:
    """Returns why an expression is false for a record: the first false operand of an `and`, with its values.

    What can't be said in this way is repeated, with the values of the fields that it reads: `EXPR is false (a='')`.
    """
    return _say(check.source, fields, wanted=False)


@dataclass(frozen=True, slots=True)
class _Operand:
    """An operand of a comparison; it is constant if it reads no field."""

    text: str
    value: object
    constant: bool
    plain: bool

    def say(self, value: object) -> str:
        if self.constant:
            return self.text
        return f"{self.text} {show(value)}" if self.plain else f"{self.text} = {show(value)}"


def show(value: object) -> str:
    """Returns a value as a statement names it: short, and without brackets in brackets."""
    if value is None or isinstance(value, bool):
        return _CONSTANTS[value]
    if isinstance(value, str):
        return repr(shorten_text(value, LONGEST_VALUE))
    if isinstance(value, int | float):
        return shorten_text(repr(value), LONGEST_VALUE)
    text = repr(value)
    if isinstance(value, list | tuple | dict) and (len(text) > LONGEST_VALUE or set(text[1:-1]) & set("[]{}()")):
        return f"[{len(value)} items]"
    return shorten_text(text, LONGEST_VALUE)


def _say(source: str, fields: Fields, *, wanted: bool) -> str:
    """Returns a statement that says why an expression has a truth value."""
    source = without_brackets(source)
    try:
        found = _find(source, fields, wanted=wanted)
    except (RecordError, jinja2.TemplateError, ArithmeticError, TypeError, ValueError, RecursionError):
        found = None
    return found or f"{_line(source)} is {'true' if wanted else 'false'}{_values(source, fields)}"


def _find(source: str, fields: Fields, *, wanted: bool) -> str | None:
    """Returns the statement, or None if it can only be repeated that the expression is true or false."""
    node = parse(source)
    if isinstance(node, nodes.And | nodes.Or):
        word = "and" if isinstance(node, nodes.And) else "or"
        return _say_operands([Expression(text) for text in split(source, {word})[0]], word, fields, wanted=wanted)
    if isinstance(node, nodes.Not) and is_negation(source):
        return _say(source.removeprefix("not"), fields, wanted=not wanted)
    if isinstance(node, nodes.Compare):
        return _say_comparison(source, fields, wanted=wanted)
    if isinstance(node, nodes.Test) or (isinstance(node, nodes.Not) and isinstance(node.node, nodes.Test)):
        return _say_test(source, fields, wanted=wanted)
    return None


def _say_operands(operands: Sequence[Expression], word: str, fields: Fields, *, wanted: bool) -> str | None:
    """Returns what decides an `and` or `or`: the first operand that does, or all of them."""
    if (word == "or") is wanted:
        decisive = next((operand for operand in operands if operand.test(fields) is wanted), None)
        return None if decisive is None else _say(decisive.source, fields, wanted=wanted)
    return " and ".join(_say(operand.source, fields, wanted=wanted) for operand in operands)


def _say_comparison(source: str, fields: Fields, *, wanted: bool) -> str | None:
    texts, names = split(source, set(_COMPARISONS))
    operands = [_operand(text, fields) for text in texts]
    pairs = list(zip(operands, names, operands[1:], strict=False))
    if wanted:
        return _say_pair(*pairs[0], wanted=True) if len(pairs) == 1 else None
    for left, name, right in pairs:
        if not _COMPARISONS[name].test(left.value, right.value):
            return _say_pair(left, name, right, wanted=False)
    return None


def _say_pair(left: _Operand, name: str, right: _Operand, *, wanted: bool) -> str | None:
    said = _COMPARISONS[name if wanted else _COMPARISONS[name].opposite]
    if not said.test(left.value, right.value):  # NaN is neither less than a number nor greater
        return None if wanted else f"{left.say(left.value)} is not {name} {right.say(right.value)}"
    if left.constant and not right.constant and said.mirrored is not None:
        said, left, right = _COMPARISONS[said.mirrored], right, left
    if said.words == " ==" and right.constant:
        return f"{left.text} is {right.text}"
    short = _rounded(left.value), _rounded(right.value)
    first, second = short if said.test(*short) else (left.value, right.value)
    return f"{left.say(first)}{said.words} {right.say(second)}"


def _say_test(source: str, fields: Fields, *, wanted: bool) -> str | None:
    """Returns the statement for a test such as `text is chinese`; the value is left out if there is none."""
    (text, test), _ = split(source, {"is"})
    negated = test.startswith("not ")
    try:
        subject = (operand := _operand(text, fields)).say(operand.value)
    except RecordError:  # of an undefined field
        subject = _line(text)
    kind = _line(test.removeprefix("not "))
    return f"{subject} is {'not ' if negated is wanted else ''}{_KINDS.get(kind, kind)}"


def _operand(text: str, fields: Fields) -> _Operand:
    expression = Expression(text)
    plain = isinstance(parse(text), nodes.Name | nodes.Getattr | nodes.Getitem)
    return _Operand(_line(text), expression(fields), not expression.reads, plain)


def _rounded(value: object) -> object:
    if type(value) is not float:
        return value
    short = float(f"{value:.4g}")
    return short if math.isfinite(short) else value


def _values(source: str, fields: Fields) -> str:
    """Returns the values of the fields that an expression reads, in brackets; empty for `holds is false`."""
    names = sorted(Expression(source).reads)
    if names == [source] and isinstance(fields.get(source), bool):
        return ""
    said = ", ".join(f"{name}={show(fields[name])}" if name in fields else f"no {name}" for name in names)
    return f" ({shorten_text(said, 200)})" if said else ""


def _line(text: str) -> str:
    return " ".join(text.split())
