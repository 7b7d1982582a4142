"""The Jinja environment that templates and expressions share, and the errors of compiling and evaluating them."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

import jinja2
import jinja2.runtime

from mminf.errors import MissingField, RecordError, shorten_text
from mminf.language import is_chinese
from mminf.sandbox import BoundedEnvironment, spend, weigh
from mminf.template.marks import make_mark, restore_marks

ROLES = ("system", "user", "assistant")


def _role(name: str) -> str:
    if name not in ROLES:
        raise jinja2.TemplateRuntimeError(f"role({name!r}): a role is one of {', '.join(ROLES)}")
    return make_mark("role", name)


def _print_value(value: object) -> object:
    """Returns what an expression prints for a value: lists, objects and booleans as JSON. Refuses null."""
    if value is None:
        raise jinja2.TemplateRuntimeError(
            "it would print null; leave the record out with `when`, or guard it with `if`"
        )
    # Short texts, which are the majority, are not counted, to save time.
    if type(value) is not int and (type(value) is not str or len(value) > 1000):
        spend(weigh(value))
        if isinstance(value, dict | list | tuple | bool):
            return restore_marks(json.dumps(value, ensure_ascii=False, default=str))
    return value


ENVIRONMENT = BoundedEnvironment(
    finalize=_print_value, keep_trailing_newline=False, trim_blocks=True, lstrip_blocks=True
)
ENVIRONMENT.globals["role"] = _role
ENVIRONMENT.tests["chinese"] = lambda value: isinstance(value, str) and is_chinese(value)
_GLOBALS = dict(ENVIRONMENT.globals)


def make_context(template: jinja2.Template, values: Mapping[str, object]) -> jinja2.runtime.Context:
    """Returns a context without Jinja2's copies of variables, which only imports of templates need."""
    return ENVIRONMENT.context_class(ENVIRONMENT, {**_GLOBALS, **values}, template.name, template.blocks)


def render(template: jinja2.Template, values: Mapping[str, object]) -> str:
    """Returns a template's text, as `template.render` does."""
    try:
        return "".join(template.root_render_func(make_context(template, values)))
    except Exception:
        ENVIRONMENT.handle_exception()


_TOKENS = {
    "name": "a name",
    "integer": "a number",
    "float": "a number",
    "string": "a text",
    "end of print statement": "`}}`",
    "end of statement block": "`%}`",
    "end of template": "the end of the text",
}
"""Jinja's names of tokens, as errors name them."""
_TOO_EARLY = re.compile(r"unexpected end of template, expected '(.+)'\.")
_EXPECTED = re.compile(r"expected token '(.+?)', got '(.+)'", re.DOTALL)
_OPEN = re.compile(r"Unexpected end of template\..*needs to be closed is '(\w+)'\.", re.DOTALL)

_UNKNOWN_TAG = re.compile(r"Encountered unknown tag '(\w+)'\.(?:.*needs to be closed is '(\w+)')?", re.DOTALL)
_UNKNOWN = re.compile(r"No (filter|test) named '(.+)'\.", re.DOTALL)


def _say(message: str) -> str:
    """Returns an error of Jinja's parser in plain words: it calls every text a template, and tokens by their types."""
    if message == "chunk after expression":
        return (
            "the expression ends before the text does: an operator is missing or wrong; there are ==, !=, <, <=, >, "
            ">=, in, is, and, or, not, +, -, *, /, ~ and |"
        )
    if message == "unexpected 'end of template'":
        return "ends too early: a value must follow"
    if (found := _UNKNOWN_TAG.match(message)) is not None:
        told = f"`{{% {found[1]} %}}` has no place here"
        return told + (f": `{{% {found[2]} ... %}}` before it is not closed" if found[2] else "")
    if (found := _TOO_EARLY.fullmatch(message)) is not None:
        return f"ends too early: {_TOKENS.get(found[1], repr(found[1]))} must follow"
    if (found := _OPEN.fullmatch(message)) is not None:
        return f"`{{% {found[1]} ... %}}` is not closed: `{{% end{found[1]} %}}` is missing"
    if (found := _EXPECTED.fullmatch(message)) is not None:
        expected, got = (_TOKENS.get(token, repr(token)) for token in found.groups())
        return f"{expected} must be in the place of {got}"
    if (found := _UNKNOWN.fullmatch(message)) is not None:
        known = ENVIRONMENT.filters if found[1] == "filter" else ENVIRONMENT.tests
        close = get_close_matches(found[2], known, n=1)
        return f"no {found[1]} {found[2]!r}" + (f"; did you mean {close[0]!r}?" if close else "")
    for token, said in _TOKENS.items():
        message = message.replace(repr(token), said)
    return message.rstrip(".")


@contextlib.contextmanager
def compiling(name: str) -> Iterator[None]:
    """Converts any exception of compiling a text to a TemplateSyntaxError; a text may be nested too deeply.

    Args:
        name: of the text, in errors.
    """
    try:
        yield
    except jinja2.TemplateSyntaxError as error:
        raise jinja2.TemplateSyntaxError(_say(error.message or ""), error.lineno, name) from error
    except RecursionError as error:
        raise jinja2.TemplateSyntaxError("is nested too deeply", 1, name) from error
    except Exception as error:  # numbers with thousands of digits, Python's limits on nesting
        raise jinja2.TemplateSyntaxError(shorten_text(str(error), 200), 1, name) from error


def evaluation_error(what: str, error: Exception) -> RecordError:
    """Converts an exception of an evaluation to an error of its record.

    On unusual values, filters and methods raise exceptions of many types: LookupError for an unknown encoding,
    AssertionError, MemoryError, KeyError for a field of a format.
    """
    if isinstance(error, RecordError):
        return error
    if isinstance(error, jinja2.UndefinedError):
        return MissingField(f"{what}: {error}")
    said = shorten_text(str(error), 300)
    if isinstance(error, jinja2.TemplateError | TypeError | ValueError | ArithmeticError):
        return RecordError(f"{what}: {said}")
    return RecordError(f"{what}: {type(error).__name__}: {said}")
