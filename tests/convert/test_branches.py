"""Conditions of a prompt function, and arguments that it changes, are told: a call with marks takes one branch."""

from __future__ import annotations

import ast

import pytest

from mminf.convert.branches import find_branches


def found(body: str, rest: str = "") -> list[str]:
    source = f"def ask(question, answer='x', *more):\n    {body}\n{rest}"
    return [line.removeprefix("p.py:") for line in find_branches(ast.parse(source), "ask", "p.py") or []]


@pytest.mark.parametrize(
    "body",
    [
        "return f'Q: {question!s} {answer}'",
        "return 'Q: ' + question + ' %s' % answer",
        "text = 'Q: {} {}'.format(question, answer)\n    return text.strip()",
        "print(question)\n    return ' '.join([question, str(answer)])",
        "return TEMPLATE.format(q=question).replace('\\n', ' ') + LABELS['a']",
        "return sum([1, 2]) * 'x' + question",
    ],
)
def test_what_shows_its_arguments(body: str) -> None:
    assert found(body) == []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            "if len(question) < 15 and question: return None\n    return question",
            ["2 if len(question) < 15 and question"],
        ),
        ("return question if answer else ''", ["2 question if answer else ''"]),
        ("return question or 'none'", ["2 question or 'none'"]),
        ("return question[:500]", ["2 question[:500]"]),
        ("q = question\n    return q.title()", ["3 q.title()"]),
        ("return textwrap.shorten(question, 500)", ["2 textwrap.shorten(question, 500)"]),
        ("return wrap(text=question)", ["2 wrap(text=question)"]),
        ("return f'{question:.9}'", ["2 {question:.9}"]),
        ("return f'{question!r}'", ["2 {question!r}"]),
        ("return ' '.join(w for w in more if w)", ["2 if w"]),
        ("while x: pass\n    assert question\n    return question", ["2 while x", "3 assert question"]),
        ("match question:\n        case 'a': return 'b'", ["2 match question"]),
        ("try:\n        return question[0]\n    except IndexError: return ''", ["2 try", "3 question[0]"]),
        ("if a:\n        return x if y else z\n    return question", ["2 if a", "3 x if y else z"]),
    ],
)
def test_what_does_more(body: str, told: list[str]) -> None:
    assert found(body) == told


def test_functions_of_the_module_are_searched_too() -> None:
    helper = "def clean(text):\n    return text[:9] if text else clean(text)\ndef other(text):\n    if text: pass\n"
    assert found("return clean(question)", helper) == ["4 text[:9] if text else clean(text)"]
    assert find_branches(ast.parse("from x import ask"), "ask", "p.py") is None
