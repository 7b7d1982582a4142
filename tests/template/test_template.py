from __future__ import annotations

import jinja2
import pytest

from mminf.errors import MissingField
from mminf.template import Template


def test_missing_fields_are_errors_that_name_them() -> None:
    with pytest.raises(MissingField, match="'absent' is undefined"):
        Template("{{ absent }}").render({})


def test_bad_syntax_is_found_when_the_recipe_is_read() -> None:
    with pytest.raises(jinja2.TemplateSyntaxError):
        Template("{% if %}")
