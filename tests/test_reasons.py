"""Groups of reasons: the same reason with other values is the same form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.reasons import MOST_FORMS, OTHER, group_reasons, reason_form, step_types, tell_failure
from mminf.states import RecordStatus
from mminf.template import Expression, false_statement

from .fuzz import fuzz

VALUES = st.one_of(
    st.integers(), st.floats(), st.booleans(), st.none(), st.text(), st.lists(st.one_of(st.integers(), st.text()))
)


@pytest.mark.parametrize(
    ("reason", "form"),
    [
        ("solvability 2 < 3", "solvability < 3"),
        ("solvability + clarity = 6 < 7", "solvability + clarity < 7"),
        ("nonsense 4, not 5", "nonsense, not 5"),
        ("kind is 'caption'", "kind is 'caption'"),
        ("quality 'bad' is not in ['good', 'best']", "quality is not in ['good', 'best']"),
        ("instruction[-1:] ':' is in ':：'", "instruction[-1:] is in ':：'"),
        ("text | length = 3 < gold | length + 20 = 23", "text | length < gold | length + 20"),
        ("a 3 < b 4", "a < b"),
        ("a 3, not b 4", "a, not b"),
        ("a nan is not > 3", "a is not > 3"),
        ("a 1000000…000000 > 3", "a > 3"),
        ("a -1.5e-07 < 3", "a < 3"),
        ("a is false (a=0) and b 1 <= 2", "a is false and b <= 2"),
        ("description | trim is false (description='')", "description | trim is false"),
        ("holds is false", "holds is false"),
        ("text '你好' is chinese", "text is chinese"),
        ("scores [3 items] is not in [1, 2]", "scores is not in [1, 2]"),
        ("none of 3 items is left; the first: truth 2 < 4", "none of … items is left; the first: truth < 4"),
        ("not x > 2 (x=1)", "not x > 2"),
        ("not a > 1 and b (a=0, no b)", "not a > 1 and b"),
    ],
)
def test_statements_without_values(reason: str, form: str) -> None:
    assert reason_form(reason, statement=True) == form


@pytest.mark.parametrize(
    ("reason", "form"),
    [
        ("duplicate of a cat", "duplicate of …"),
        ("garbled: 3 words", "garbled: … words"),
        ("images/cats/a.png can't be decoded: it isn't an image", "… can't be decoded: it isn't an image"),
        ("rows.jsonl:2 is not JSON", "… is not JSON"),
        ("no [[N]] in the answer 'I can\\'t' (3 attempts)", "no [[N]] in the answer … (… attempts)"),
        ("caption: contains no instruction", "caption: contains no instruction"),
        ("a\nb  c", "a b c"),
        (f"{'word by word ' * 20!r:.80} is not a number", "… is not a number"),
        (f"not one word: {'it is ' + chr(39) * 2 + 'so ' * 50!r:.80}", "not one word: …"),
        (f"{'word by word ' * 20!r} is not a number", "… is not a number"),
        ("the answer isn't what it should be in any of the ways that we have thought of", None),
    ],
)
def test_other_reasons_without_values(reason: str, form: str) -> None:
    assert reason_form(reason, statement=False) == (reason if form is None else form)


@pytest.mark.parametrize(
    "source", ["a < 3", "a > b", "a == 'x'", "a in ['x', 1]", "a", "a is number", "a != 3 and b", "3 >= a or b > a"]
)
@fuzz(100)
@given(VALUES, VALUES, VALUES, VALUES)
def test_the_form_is_the_same_for_all_values(source: str, a: object, b: object, c: object, d: object) -> None:
    check = Expression(source)
    forms = set()
    for fields in ({"a": a, "b": b}, {"a": c, "b": d}):
        try:
            if not check.test(fields):
                forms.add(reason_form(false_statement(check, fields), statement=True))
        except Exception:  # types that can't be compared fail the record
            continue
    # An `and` has two operands that can be false; NaN is neither less nor greater.
    assert len({form for form in forms if "is not <" not in form and "is not >" not in form}) <= 1 + ("and" in source)
    assert all(value not in " ".join(forms) for value in (a, c) if isinstance(value, str) and len(value) > 9)


def test_groups_are_in_the_order_of_the_steps_and_the_largest_is_first() -> None:
    counted = [
        ("keep", RecordStatus.DROPPED, "x 1 < 3", 2),
        ("keep", RecordStatus.DROPPED, "y 1 < 3", 1),
        ("keep", RecordStatus.DROPPED, "y 2 < 3", 4),
        ("ask", RecordStatus.FAILED, "answer 'a' is empty", 1),
        ("source", RecordStatus.FAILED, None, 1),
    ]
    found = group_reasons(counted, {"ask": "generate", "keep": "keep"})
    assert [(group.step, group.form, group.rows) for group in found] == [
        ("source", "", 1),
        ("ask", "answer … is empty", 1),
        ("keep", "y < 3", 5),
        ("keep", "x < 3", 2),
    ]
    assert [group.example for group in found] == ["", "answer 'a' is empty", "y 1 < 3", "x 1 < 3"]


def test_the_number_of_forms_is_limited() -> None:
    names = ("".join(chr(97 + int(digit)) for digit in str(number)) for number in range(MOST_FORMS + 50))
    found = group_reasons(((("s", RecordStatus.DROPPED, name, 1)) for name in names), {})
    assert len(found) == MOST_FORMS + 1
    assert (found[0].form, found[0].rows) == (OTHER, 50)


def test_types_of_steps_from_a_journal() -> None:
    recipe = {"steps": [{"keep": {"name": "good"}, "version": 1}, {"generate": {}}, {"set": "x"}, "odd"]}
    assert step_types(recipe) == {"good": "keep", "generate": "generate"}
    assert step_types({}) == step_types(None) == {}


def test_a_row_that_its_reason_names_is_named_once() -> None:
    where = "rows.jsonl:4"
    assert tell_failure("source", where, f"{where} is not JSON") == "failed at source: rows.jsonl:4 is not JSON"
    assert tell_failure("ask", "r4", "refused") == "failed at ask: r4: refused"
    assert tell_failure("ask", "r4", None) == "failed at ask: r4: no reason is known"
