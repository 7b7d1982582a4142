"""Jinja templates and expressions: sandboxed; undefined names are errors; texts of records are never evaluated.

A template is rendered to chat turns. `{{ images }}` (or `{{ images[0] }}`) places images, and `{{ role("system") }}`,
`{{ role("user") }}`, `{{ role("assistant") }}` start a turn.
"""

from mminf.template.expression import Expression
from mminf.template.find import find_template
from mminf.template.images import Shown, images_in
from mminf.template.statement import false_statement
from mminf.template.template import Template

__all__ = ["Expression", "Shown", "Template", "false_statement", "find_template", "images_in"]
