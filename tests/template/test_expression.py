from __future__ import annotations

import pickle

import jinja2
import pytest

from mminf.errors import MissingField, RecordError
from mminf.template import Expression, Template


@pytest.mark.parametrize(
    "source", ["''.__class__.__mro__", "text.__init__.__globals__", "cycler.__init__"], ids=["mro", "globals", "cycler"]
)
def test_expressions_are_sandboxed(source: str) -> None:
    with pytest.raises((RecordError, MissingField)):
        Expression(source)({"text": "x"})


def test_type_errors_fail_the_record_only() -> None:
    with pytest.raises(RecordError, match="score >= 3"):
        Expression("score >= 3").test({"score": "high"})


def test_missing_fields_are_errors_that_name_them() -> None:
    with pytest.raises(MissingField, match="'absent' is undefined"):
        Expression("absent > 3").test({})
    with pytest.raises(MissingField, match="'absent' is undefined"):
        Expression("absent")({})


def test_bad_syntax_is_found_when_the_recipe_is_read() -> None:
    with pytest.raises(jinja2.TemplateSyntaxError):
        Expression("a >=")
    with pytest.raises(
        jinja2.TemplateSyntaxError, match="ends before the text does: an operator is missing or wrong; there are ==, !="
    ):
        Expression("clarity => 2")


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("a > 1", ["a > 1"]),
        ("a > 1 and b", ["a > 1", "b"]),
        ("(a and b) and c", ["(a and b)", "c"]),
        ("a and b or c", ["a and b or c"]),
        ("not a and b", ["not a", "b"]),
        ("-a < 1 and b == 'x and y'", ["-a < 1", "b == 'x and y'"]),
    ],
)
def test_the_outermost_ands_join_the_parts(source: str, parts: list[str]) -> None:
    assert [part.source for part in Expression(source).parts()] == parts


def test_templates_and_expressions_can_be_pickled() -> None:
    expression = pickle.loads(pickle.dumps(Expression("a + 1")))
    assert expression({"a": 1}) == 2
    assert pickle.loads(pickle.dumps(Template("{{ a }}", "ask"))).name == "ask"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("answer is", "ends too early: a name must follow"),
        ("(answer", "ends too early: '\\)' must follow"),
        ("answer ==", "ends too early: a value must follow"),
        ("answer is 5", "a name must be in the place of a number"),
        ("answer is sting", "no test 'sting'; did you mean 'string'\\?"),
        ("answer | trimm", "no filter 'trimm'; did you mean 'trim'\\?"),
        ("answer | zzzz", "^no filter 'zzzz'\\n"),
        ("answer!", "unexpected char '!' at 6"),
    ],
)
def test_errors_name_the_expression_and_what_is_wrong(source: str, told: str) -> None:
    with pytest.raises(jinja2.TemplateSyntaxError, match=told) as caught:
        Expression(source)
    assert caught.value.name == f"expression {source!r}"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("{{ answer ", "ends too early: `}}` must follow"),
        ("{% if answer ", "ends too early: `%}` must follow"),
        ("{{ answer b }}", "`}}` must be in the place of 'b'"),
        ("{% for %}", "Expected an expression, got `%}`"),
        ("{% if answer %}{% endfor %}", "`{% endfor %}` has no place here: `{% if ... %}` before it is not closed"),
        ("{% foo %}", "`{% foo %}` has no place here"),
        ("{{ answer == }}", "unexpected `}}`"),
        ("{% if answer %}", "`{% if ... %}` is not closed: `{% endif %}` is missing"),
    ],
)
def test_errors_of_prompts(source: str, told: str) -> None:
    with pytest.raises(jinja2.TemplateSyntaxError) as caught:
        Template(source, "mine.jinja")
    assert (caught.value.name, caught.value.message) == ("mine.jinja", told)
