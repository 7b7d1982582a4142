from __future__ import annotations

import json

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.errors import MissingField
from mminf.template import Template
from mminf.turns import ImagePart


def test_missing_fields_are_errors_that_name_them() -> None:
    with pytest.raises(MissingField, match="'absent' is undefined"):
        Template("{{ absent }}").render({})


def test_bad_syntax_is_found_when_the_recipe_is_read() -> None:
    with pytest.raises(jinja2.TemplateSyntaxError):
        Template("{% if %}")


_PLAIN = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
_VALUES = st.recursive(
    _PLAIN | st.text().filter(lambda text: "<" not in text),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(_VALUES.filter(lambda value: isinstance(value, list | dict | bool)))
def test_lists_objects_and_booleans_are_printed_as_json(value: object) -> None:
    (turn,) = Template("Given: {{ value }}").render({"value": value})
    assert json.loads(turn.text.removeprefix("Given: ")) == value


def test_an_undefined_name_in_a_printed_list_is_named() -> None:
    with pytest.raises(MissingField, match="'absent' is undefined"):
        Template("{{ [absent] }}").render({})
    (turn,) = Template("{{ (a, true) }}").render({"a": "x"})
    assert turn.text == '["x", true]'


def test_tags_in_a_printed_list_are_places_of_images() -> None:
    (turn,) = Template("{{ texts }}").render({"texts": ["See <image>,\nit's <image>?"], "images": ["a", "b"]}, True)
    assert turn.parts == ('["See ', ImagePart(0), ",\\nit's ", ImagePart(1), '?"]')
