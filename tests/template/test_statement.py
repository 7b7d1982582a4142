"""Why an expression is false: a statement that is true, and names the values."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.template import Expression, false_statement
from mminf.template.environment import ENVIRONMENT
from mminf.template.operators import split, without_brackets

from ..fuzz import fuzz


def pairs(values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, Any]]:
    """Two values, which are often the same, or the second contains the first."""
    return st.one_of(st.tuples(values, values), values.map(lambda value: (value, value + value)), values.map(twice))


def twice(value: Any) -> tuple[Any, Any]:
    return (value, value)


NUMBERS = pairs(st.one_of(st.integers(-(10**9), 10**9), st.floats()))
TEXTS = pairs(st.text(max_size=20))
TRUE = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    ", not": operator.ne,
    "is in": lambda left, right: left in right,
    "is not in": lambda left, right: left not in right,
}
STATEMENT = re.compile(r"a (?P<left>.+?)(?P<words> (?:<=|>=|<|>|==|is in|is not in)|, not) b (?P<right>.+)", re.DOTALL)


def say(source: str, **fields: object) -> str:
    return false_statement(Expression(source), fields)


@pytest.mark.parametrize(
    ("source", "fields", "said"),
    [
        ("solvability >= 3 and clarity >= 3", {"solvability": 2, "clarity": 4}, "solvability 2 < 3"),
        ("solvability >= 3 and clarity >= 3", {"solvability": 4, "clarity": 1}, "clarity 1 < 3"),
        ("s + c >= 7", {"s": 2, "c": 4}, "s + c = 6 < 7"),
        ("nonsense == 5", {"nonsense": 4}, "nonsense 4, not 5"),
        ("kind != 'caption'", {"kind": "caption"}, "kind is 'caption'"),
        ("a != b", {"a": 1, "b": 1}, "a 1 == b 1"),
        ("3 < a", {"a": 2}, "a 2 <= 3"),
        ("'caption' == kind", {"kind": "qa"}, "kind 'qa', not 'caption'"),
        ("'cat' in text", {"text": "a dog"}, "'cat' is not in text 'a dog'"),
        ("1 < a < 5", {"a": 7}, "a 7 >= 5"),
        ("1 < a < 5", {"a": 0}, "a 0 <= 1"),
        ("instruction[-1:] not in ':：'", {"instruction": "Say:"}, "instruction[-1:] ':' is in ':：'"),
        ("not a in b", {"a": "x", "b": "xyz"}, "a 'x' is in b 'xyz'"),
        ("a in ['x']", {"a": "y"}, "a 'y' is not in ['x']"),
        ("holds", {"holds": False}, "holds is false"),
        ("not holds", {"holds": True}, "holds is true"),
        ("not (not holds)", {"holds": False}, "holds is false"),
        ("not (a > 1 or b)", {"a": 0, "b": True}, "b is true"),
        ("not (1 < a < 3)", {"a": 2}, "1 < a < 3 is true (a=2)"),
        ("text | trim", {"text": " "}, "text | trim is false (text=' ')"),
        ("text is string", {"text": 5}, "text 5 is not a string"),
        ("text is not string", {"text": "x"}, "text 'x' is a string"),
        ("nothing is defined", {}, "nothing is not defined"),
        ("nothing is not none", {"nothing": None}, "nothing none is none"),
        ("a or b > 2", {"a": False, "b": 1}, "a is false and b 1 <= 2"),
        ("a if b else c", {"a": 0, "b": 1}, "a if b else c is false (a=0, b=1, no c)"),
        ("a\n  >=\n 3", {"a": 2}, "a 2 < 3"),
        ("(a) + (b) > 3", {"a": 1, "b": 1}, "(a) + (b) = 2 <= 3"),
        ("share >= 0.75", {"share": 2 / 3}, "share 0.6667 < 0.75"),
        ("share >= 0.75", {"share": 0.74999999}, "share 0.74999999 < 0.75"),
        ("share >= 0.75", {"share": math.nan}, "share nan is not >= 0.75"),
        ("a > b", {"a": [1, [2]], "b": [3, [4]]}, "a [2 items] <= b [2 items]"),
        ("x.y[0] == 1", {"x": {"y": [2]}}, "x.y[0] 2, not 1"),
        ("1 > 2", {}, "1 <= 2"),
        ("false", {}, "false is false"),
    ],
)
def test_statements(source: str, fields: dict[str, object], said: str) -> None:
    assert not Expression(source).test(fields)
    assert say(source, **fields) == said


def read(text: str) -> object:
    return float(text) if text in ("nan", "inf", "-inf") else ast.literal_eval(text)


@pytest.mark.parametrize("symbol", ["<", "<=", ">", ">=", "==", "!="])
@fuzz(200)
@given(NUMBERS)
def test_a_statement_about_numbers_is_true_and_names_them(symbol: str, pair: tuple[Any, Any]) -> None:
    check_statement(f"a {symbol} b", *pair, lambda shown, value: math.isclose(shown, value, rel_tol=1e-3))


@pytest.mark.parametrize("symbol", ["<", "<=", ">", ">=", "==", "!=", "in", "not in"])
@fuzz(100)
@given(TEXTS)
def test_a_statement_about_texts_is_true_and_names_them(symbol: str, pair: tuple[str, str]) -> None:
    check_statement(f"a {symbol} b", *pair, operator.eq)


def check_statement(source: str, left: Any, right: Any, same: Callable[[Any, Any], bool]) -> None:
    fields = {"a": left, "b": right}
    if Expression(source).test(fields):
        return
    said = say(source, **fields)
    if math.nan in (left, right) or left != left or right != right:
        assert said.startswith("a ") and (" is not " in said or ", not " in said)
        return
    found = STATEMENT.fullmatch(said)
    assert found is not None, said
    shown = read(found["left"]), read(found["right"])
    assert TRUE[found["words"].strip()](*shown), said
    assert same(shown[0], left) and same(shown[1], right), said


@pytest.mark.parametrize(
    "source", ["not (a < b)", "not a", "not (a == b or a < b)", "not (a in [b])", "a is not number or b is not number"]
)
@fuzz(50)
@given(st.integers(-3, 3), st.integers(-3, 3))
def test_nothing_is_negated_twice(source: str, left: int, right: int) -> None:
    if Expression(source).test({"a": left, "b": right}):
        return
    said = say(source, a=left, b=right)
    assert not said.startswith("not ") and "not not" not in said
    assert re.search(r"\bis (?:not )?(?:false|true)\b.*\bnot\b", said) is None


@fuzz(50)
@given(st.text(min_size=1000), st.lists(st.integers(), min_size=100))
def test_long_values_are_shortened(text: str, items: list[int]) -> None:
    assert len(say("a == 'x'", a=text)) < 1000
    assert say("a == 'x'", a=items) == f"a [{len(items)} items], not 'x'"


def test_an_expression_that_differs_each_time_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([1, 9, 9, 9])
    monkeypatch.setitem(ENVIRONMENT.filters, "draw", lambda _: next(drawn))
    check = Expression("a | draw > 5 and a")
    assert not check.test({"a": 1})
    assert false_statement(check, {"a": 1}) == "a | draw > 5 and a is false (a=1)"


@pytest.mark.parametrize(
    ("source", "plain"),
    [("a", "a"), (" ((a)) ", "a"), ("(a) or (b)", "(a) or (b)"), ("(a, b)", "(a, b)"), ("(')')", "')'")],
)
def test_brackets_around_an_expression_are_removed(source: str, plain: str) -> None:
    assert without_brackets(source) == plain


def test_operators_in_brackets_and_texts_do_not_split() -> None:
    assert split("f(a < b) < 'x < y' not in [a in b]", {"<", "in", "not in"}) == (
        ["f(a < b)", "'x < y'", "[a in b]"],
        ["<", "not in"],
    )
    with pytest.raises(ValueError, match="no operator"):
        split("a + b", {"and"})
