"""Expressions and templates can neither hang nor end a run, whatever they say and whatever they meet."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.errors import RecordError
from mminf.template import Expression, Template

from .fuzz import fuzz

FIELDS = {"n": 3, "q": "a question", "items": ["a", "b"], "big": 10**15, "row": {"w": 10**12}, "text": "x" * 10_000}

GROWING = [
    "9 ** (9 ** (n + 6))",
    "(9 ** 300) * (9 ** 900)",
    "(9 ** 300) ** big",
    "'x' * 10 ** 12",
    "10 ** 12 * 'x'",
    "items * big",
    "[1] * 10 ** 9",
    "n | round(-10 ** 9)",
    "1.5 | round(10 ** 9)",
    "q | center(10 ** 10)",
    "q | indent(10 ** 10)",
    "q | indent('x' * 1000000) | indent('x' * 1000000, true) | indent('y' * 49000000, true)",
    "q | truncate(10 ** 10)",
    "items | batch(10 ** 9, 'x') | list",
    "items | slice(10 ** 9) | list",
    "q.center(10 ** 10)",
    "q.ljust(big)",
    "q.zfill(big)",
    "'\t\t'.expandtabs(10 ** 9)",
    "text.replace('x', text)",
    "text | replace('x', text)",
    "text.join(text)",
    "text | join(text)",
    "range(10000) | map('string') | join(text)",
    "q | attr('center') (10 ** 10)",
    "items | map('center', 10 ** 10) | list",
    "range(99999) | map('center', 100000) | list",
    "range(10 ** 9) | list",
    "(range(99999) | list) * 9999",
    "'%1000000000000d' % n",
    "'%*d' % (big, n)",
    "'%1000000000d' | format(n)",
    "'%99999999999999999999999d' % n",
    "'{:1000000000}'.format(n)",
    "'{:{}}'.format(n, big)",
    "'{0[w]:{0[w]}}'.format(row)",
    "'{:1000000000}'.format_map(row)",
    "text.translate({120: text})",
    "n.to_bytes(10 ** 10, 'big')",
    "text ~ " * 6000 + "text",
    "('<!--' * 10000) | striptags",
    "row | tojson(indent=10 ** 9)",
    "('9' * 4000) | int * 9",
    "([[0] * 10000] * 3000) | sum(start=[]) | length",
    "(['x'] * 100000) | sum(start='')",
    "([[[0] * 1000] * 1000] * 300) | string | length",
    "([[0] * 1000] * 1000) | tojson | length * ([[0] * 1000] * 4000) | length",
    "'%s' % ([[0] * 1000] * 9000,)",
    "'{}'.format([[0] * 1000] * 9000)",
    "([[0] * 1000] * 9000) ~ ''",
    "([range(90000)] * 10000) | map('sum') | list",
    "('y' * 49000).join(range(40000) | map('string')) | length",
    "('x' * 1000000) | wordwrap(1)",
    "items | batch(100000, [0] * 10000) | list",
    "([range(90000)] * 10000) | map('list') | list",
    "range(90000) | map('string') | map('center', 90) | map('upper') | list | join | length * 0 + (range(99999) | list * 99) | length",
]

RAISING = [
    "q.encode('nope')",
    "'%(a)s' % {'b': n}",
    "q | truncate(1)",
    "'{a}'.format_map(n)",
    "items | map(attribute='x.y') | sum",
    "items | sum",
    "[][0]",
    "{}['a']",
    "1 / 0",
    "n | dictsort",
    "items | groupby('x') | list",
    "q.to_bytes(3)",
    "row | xmlattr | center('x')",
    "9 ** 500 / 0.1",
    "missing",
    "items | random(3)",
]

FINE = {
    "n + 1": 4, "'%05d' % n": "00003", "'%s of %s' % (n, q)": "3 of a question", "'ab' * 3": "ababab", "2 ** 64": 2**64,
    "q ~ n": "a question3", "'{:>4}'.format(n)": "   3", "(2 / 3) | round(2)": 0.67, "items | join(', ')": "a, b",
    "q | replace('a', 'the')": "the question", "q.upper()": "A QUESTION", "items * 2": ["a", "b", "a", "b"],
    "(items | batch(2) | list)": [["a", "b"]], "'x'.center(3)": " x ", "range(3) | list": [0, 1, 2], "7 % 4": 3,
    "items | map('upper') | join": "AB", "-n ** 2": 9, "2 ** -1": 0.5, "(1, 2) + (3,)": (1, 2, 3), "10 ** 400 > 1": True,
    "'%d items' | format(10000000)": "10000000 items", "'{}'.format(10000000)": "10000000", "row | tojson": '{"w": 1000000000000}',
}  # fmt: skip


@pytest.mark.parametrize("source", GROWING)
def test_what_would_grow_without_measure_fails_its_record_at_once(source: str) -> None:
    began = time.monotonic()
    with pytest.raises(RecordError) as told:
        Expression(source)(FIELDS)
    assert len(str(told.value)) < 100_000
    with pytest.raises(RecordError):
        Template("{{ " + source + " }}").render(FIELDS)
    assert time.monotonic() - began < 20, "far from what it would take"


@pytest.mark.parametrize("source", RAISING)
def test_whatever_is_raised_fails_its_record(source: str) -> None:
    with pytest.raises(RecordError):
        Expression(source)(FIELDS)
    with pytest.raises(RecordError):
        Template("{{ (" + source + ") }}").render(FIELDS)


@pytest.mark.parametrize(("source", "value"), FINE.items())
def test_what_recipes_say_is_as_in_jinja(source: str, value: Any) -> None:
    assert Expression(source)(FIELDS) == value


@pytest.mark.parametrize(
    "source",
    ["1" + " and 1" * 20_000, "(" * 5000 + "1" + ")" * 5000, "9" * 5000, "not " * 5000 + "1", "a" + ".b" * 50_000],
)
def test_what_can_not_be_compiled_is_a_syntax_error(source: str) -> None:
    with pytest.raises(jinja2.TemplateSyntaxError):
        Expression(source)


def test_loops_and_macros_have_the_same_budget() -> None:
    loop = "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}"
    macro = "{% macro m(n) %}{{ m(n - 1) }}{{ m(n - 1) }}{% endmacro %}{{ m(400) }}"
    doubling = "{% set a = text %}" + "{% set a = a ~ a %}" * 40 + "{{ a }}"
    again = "{% set r = range(1000) %}{% for a in r %}{% for b in r %}{% for c in r %}{{ c }}{% endfor %}{% endfor %}{% endfor %}"
    rows = "{% for a in items %}{% for b in items %}{% for c in items %}x{% endfor %}{% endfor %}{% endfor %}"
    printed = "{% set r = [0] * 1000 %}{% set s = [r] * 1000 %}{{ s }}{{ s }}{{ s }}{{ s }}{{ s }}{{ s }}{{ s }}{{ s }}"
    lists = "{% set a = ['x'] %}" + "{% set a = [a, a] %}" * 35 + "{{ a == [a, a] }}"
    maps = "{% set a = {'x': 1} %}" + "{% set a = {'x': a, 'y': [(a, a)]} %}" * 30 + "{{ a == a }}"
    chars = "{% for a in text %}{% for b in text %}{% endfor %}{% endfor %}a"
    for source in (loop, macro, doubling, again, printed, rows, lists, maps, chars):
        with pytest.raises(RecordError):
            Template(source).render({**FIELDS, "items": list(range(1000))})
    assert Template("{% for i in range(3) %}{{ i }}{% endfor %}").render(FIELDS)[0].text == "012"
    text = "{% for i in items if i != 'a' %}{{ loop.index }}/{{ loop.length }}{{ loop.last }}{% else %}none{% endfor %}"
    assert Template(text).render(FIELDS)[0].text == "1/1true"
    assert Template(text).render({"items": []})[0].text == "none"


def test_an_evaluation_has_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMINF_EXPRESSION_SECONDS", "1")
    big = list(range(400_000))
    slow = "{% for i in range(20000) %}{% if big == other %}x{% endif %}{% endfor %}"
    began = time.monotonic()
    with pytest.raises(RecordError, match="takes too long: at most 1 seconds"):
        Template(slow).render({"big": big, "other": list(big)})
    assert time.monotonic() - began < 10


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
ATOMS = st.sampled_from(["n", "q", "items", "x", "1", "-1", "'a'", "[x, n]", "{'a': x}", "2.5", "10 ** 9", "none"])
PIECES = st.sampled_from(
    [" + ", " * ", " ** ", " % ", " ~ ", " // ", " and ", " < ", " in ", " | ", ".", "[", "]", "(", ")", "length", "join",
     "center", "round", "replace", "upper()", "format(", "sort", "tojson", "list", "first", "batch(", "int", "string",
     " is defined", " if ", " else ", "map(", "'upper'", "default(", "indent(", "sum", ",", "dictsort", "encode("]
)  # fmt: skip


@fuzz(500)
@given(st.lists(st.one_of(ATOMS, PIECES), min_size=1, max_size=9), VALUES)
def test_random_expressions_end_in_a_value_or_an_error_of_the_record(pieces: list[str], value: Any) -> None:
    try:
        expression = Expression("".join(pieces))
    except jinja2.TemplateSyntaxError:
        return
    fields = {"n": 3, "q": "a question", "items": ["a", value], "x": value}
    with contextlib.suppress(RecordError):
        expression.test(fields)
