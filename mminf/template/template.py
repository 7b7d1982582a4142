"""Prompt templates."""

from __future__ import annotations

from collections.abc import Mapping

import jinja2
import jinja2.meta

from mminf.errors import RecordError
from mminf.media import TAG
from mminf.sandbox import begin, end
from mminf.template.chat import lead_with_images, place_tags, split_turns
from mminf.template.environment import ENVIRONMENT, compiling, evaluation_error, render
from mminf.template.images import Images, Shown, images_in
from mminf.turns import Draft, Turn, place_images


class Template:
    """A prompt.

    Args:
        source: Jinja text.
        name: name of the template in errors.

    Attributes:
        reads: the fields that the template requires.
        uses: these, and the fields that it tests with `is defined`.
        texts: its fixed texts, between the expressions.

    Raises:
        jinja2.TemplateSyntaxError: if the text is not valid Jinja.
    """

    def __init__(self, source: str, name: str = "prompt") -> None:
        self.source = source.strip("\n")
        self.name = name
        with compiling(name):
            self._compile()

    def _compile(self) -> None:
        written = _with_tags(self.source)
        tree = ENVIRONMENT.parse(written)
        tests = [test.node for test in tree.find_all(jinja2.nodes.Test) if test.name == "defined"]
        tested = {node.name for node in tests if isinstance(node, jinja2.nodes.Name)}
        self.uses = frozenset(jinja2.meta.find_undeclared_variables(tree) - set(ENVIRONMENT.globals))
        self.reads = self.uses - tested
        self.texts = tuple(node.data for node in tree.find_all(jinja2.nodes.TemplateData))
        self._template = ENVIRONMENT.from_string(written)

    def __reduce__(self) -> tuple[type[Template], tuple[str, str]]:
        return Template, (self.source, self.name)

    @property
    def shown(self) -> Shown:
        """The default of `images`: true if the template prints images, `optional` if it tests whether there are any."""
        return True if "images" in self.reads else "optional" if "images" in self.uses else False

    def render(self, fields: Mapping[str, object], images: Shown | None = None) -> tuple[Turn, ...]:
        """Returns the chat turns for a record's fields.

        Args:
            images: whether the record's images are shown; by default as the template does.

        Raises:
            RecordError: if a field is missing or the template fails on this record's values.
        """
        return place_images(self.draft(fields, images), len(images_in(fields)))

    def draft(self, fields: Mapping[str, object], images: Shown | None = None) -> tuple[Draft, ...]:
        """Returns the turns, with places that are not resolved to images yet. Arguments and errors: see `render`."""
        shown = self.shown if images is None else images
        count = len(images_in(fields)) if shown else 0
        if shown is True and not count:
            raise RecordError(
                f"template {self.name} shows images, but the record has none (`images: optional` allows this)"
            )
        values: dict[str, object] = {
            name: place_tags(fields[name], name, shown=bool(shown))
            for name in self.uses
            if name in fields and name != "images"
        }
        if count or "images" in self.reads:
            values["images"] = Images(count)
        before = begin()
        try:
            text = render(self._template, values)
        except Exception as error:
            raise evaluation_error(f"template {self.name}", error) from error
        finally:
            end(before)
        if count and "images" not in self.uses:
            text = lead_with_images(text)
        return split_turns(text, self.name)


def _with_tags(source: str) -> str:
    """Replaces `<image>` tags in a template by expressions: a single tag shows all images, several show one each."""
    if source.count(TAG) == 1 and "images" not in source:
        return source.replace(TAG, "{{ images }}")
    for number in range(source.count(TAG)):
        source = source.replace(TAG, f"{{{{ images[{number}] }}}}", 1)
    return source
