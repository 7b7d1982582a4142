"""Conditions of a prompt function, and arguments that it changes, are told: a call with marks takes one branch."""

from __future__ import annotations

import ast

import pytest

from mminf.convert.branches import find_branches


def found(body: str, rest: str = "") -> list[str]:
    source = "TEMPLATE = '{q!s} {0}%s'\nSHORT = '{:.5}'\n"
    source = f"def ask(question, answer='x', *more):\n    {body}\n{rest}\n{source}"
    return [line.removeprefix("p.py:") for line in find_branches(ast.parse(source), "ask", "p.py") or []]


@pytest.mark.parametrize(
    "body",
    [
        "return f'Q: {question!s} {answer}'",
        "return 'Q: ' + question + ' %s' % answer",
        "text = 'Q: {} {}'.format(question, answer)\n    return text.strip()",
        "print(question)\n    return ' '.join([question, str(answer)])",
        "return TEMPLATE.format(q=question) + LABELS['a']",
        "return '%s: %(a)s %%' % question + TEMPLATE % answer",
        "parts = ['Q', question]\n    parts = parts + [answer]\n    return ' '.join(parts)",
        "lines = []\n    lines.append(f'Q: {question}')\n    return ' '.join(lines)",
        "for one in more: print(one)\n    return question",
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
        ("text = question.strip()\n    return f'{text[:500]}'", ["3 text[:500]"]),
        ("text = f'{question} {answer}'\n    return text[:2000]", ["3 text[:2000]"]),
        ("return question.strip().replace('a', ' ') + answer", ["2 question.strip().replace('a', ' ')"]),
        ("t = 'Q '; t += question; return t[:400] + answer", ["2 t[:400]"]),
        ("t: str = question; return t[:4]", ["2 t[:4]"]),
        ("return (t := question)[:4] + t[1]", ["2 (t := question)[:4]", "2 t[1]"]),
        ("return '%.500s %s' % (question, answer)", ["2 '%.500s %s' % (question, answer)"]),
        ("return '{:.500} {}'.format(question, answer)", ["2 '{:.500} {}'.format(question, answer)"]),
        ("return '{0[0]} {1}'.format(question, answer)", ["2 '{0[0]} {1}'.format(question, answer)"]),
        ("return UNKNOWN.format(question)", ["2 UNKNOWN.format(question)"]),
        ("return SHORT.format(question)", ["2 SHORT.format(question)"]),
        ("c, t = question, answer\n    return c[:500] + t", ["3 c[:500]"]),
        ("return question.strip('?')", ["2 question.strip('?')"]),
        ("return fix(f'{question}')", ["2 fix(f'{question}')"]),
        ("return fix(*more)", ["2 fix(*more)"]),
        ("return D[question] + question.name", ["2 D[question]", "2 question.name"]),
        ("return ' '.join(c[:5] for c in more)", ["2 c[:5]"]),
        ("lines = []; lines.append(question); return lines[0][:9]", ["2 lines[0][:9]"]),
        ("return 'x' * len(question)", ["2 'x' * len(question)"]),
        ("if a:\n        return x if y else z\n    return question", ["2 if a", "3 x if y else z"]),
    ],
)
def test_what_does_more(body: str, told: list[str]) -> None:
    assert found(body) == told


def test_functions_of_the_module_are_searched_too() -> None:
    helper = "def clean(text):\n    return text[:9] if text else clean(text)\ndef other(text):\n    if text: pass\n"
    assert found("return clean(question)", helper) == ["4 text[:9] if text else clean(text)"]
    assert find_branches(ast.parse("from x import ask"), "ask", "p.py") is None
