"""Jinja templates and expressions: sandboxed, undefined names are errors, record text is only ever a value.

A template is rendered to chat turns. Where it says `{{ images }}` (or `{{ images[0] }}`) an image part is put,
and `{{ role("system") }}`, `{{ role("user") }}`, `{{ role("assistant") }}` start a turn. Both leave a marker that
holds a random number of this process, so text from a record can't forge one.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections import deque
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import jinja2
import jinja2.meta

from mminf.errors import MissingField, RecordError, shorten_text
from mminf.media import TAG, has_other_tags
from mminf.sandbox import BoundedEnvironment, begin, end, spend, weigh
from mminf.turns import REST, Draft, ImagePart, Place, Turn, name_tags, place_images, split_tags

ROLES = ("system", "user", "assistant")
_NONCE = secrets.token_hex(8)
_MARK = re.compile(rf"\x02{_NONCE}:(image|images|role|tag|lead):([\w.]*)\x03", re.IGNORECASE)

Shown = bool | Literal["optional"]
"""Whether a prompt shows the record's images: `true` requires at least one, `optional` does not."""


def _mark(kind: str, value: str) -> str:
    return f"\x02{_NONCE}:{kind}:{value}\x03"


class _Images:
    """What a template sees as `images`: prints as all images, `images[i]` as one."""

    def __init__(self, count: int) -> None:
        self._marks = [_mark("image", str(index)) for index in range(count)]

    def __str__(self) -> str:
        return _mark("images", "") if self._marks else ""

    def __getitem__(self, index: int | slice) -> str:
        try:
            found = self._marks[index]
        except (IndexError, TypeError) as error:
            count = len(self._marks)
            raise jinja2.TemplateRuntimeError(f"images[{index!r}]: the record has {count} images") from error
        return found if isinstance(found, str) else "".join(found)

    def __iter__(self) -> Iterator[str]:
        return iter(self._marks)

    def __len__(self) -> int:
        return len(self._marks)


def _role(name: str) -> str:
    if name not in ROLES:
        raise jinja2.TemplateRuntimeError(f"role({name!r}): a role is one of {', '.join(ROLES)}")
    return _mark("role", name)


def _refuse_null(value: Any) -> Any:
    if value is None:
        raise jinja2.TemplateRuntimeError(
            "it would print null; leave the record out with `when`, or guard it with `if`"
        )
    # Short texts, which are nearly all, are not worth counting.
    if type(value) is not int and (type(value) is not str or len(value) > 1000):
        spend(weigh(value))
    return value


_ENVIRONMENT = BoundedEnvironment(
    finalize=_refuse_null, keep_trailing_newline=False, trim_blocks=True, lstrip_blocks=True
)
_ENVIRONMENT.globals["role"] = _role
_GLOBALS = dict(_ENVIRONMENT.globals)


def make_context(template: jinja2.Template, values: Mapping[str, Any]) -> Any:
    """Returns a context without the copies that Jinja2 makes for templates that import each other."""
    return _ENVIRONMENT.context_class(_ENVIRONMENT, {**_GLOBALS, **values}, template.name, template.blocks)


def render(template: jinja2.Template, values: Mapping[str, Any]) -> str:
    """Returns a template's text, as `template.render` does."""
    try:
        return "".join(template.root_render_func(make_context(template, values)))
    except Exception:
        _ENVIRONMENT.handle_exception()


class Template:
    """A prompt.

    Args:
        source: Jinja text.
        name: what errors call it.

    Attributes:
        reads: the fields that it needs.
        uses: those, and the ones that it asks for by `is defined`.

    Raises:
        jinja2.TemplateSyntaxError: if the text isn't Jinja.
    """

    def __init__(self, source: str, name: str = "prompt") -> None:
        self.source = source.strip("\n")
        self.name = name
        with _compiling(name):
            self._compile()

    def _compile(self) -> None:
        written = _with_tags(self.source)
        tree = _ENVIRONMENT.parse(written)
        tests = [test.node for test in tree.find_all(jinja2.nodes.Test) if test.name == "defined"]
        tested = {node.name for node in tests if isinstance(node, jinja2.nodes.Name)}
        self.uses = frozenset(jinja2.meta.find_undeclared_variables(tree) - set(_ENVIRONMENT.globals))
        self.reads = self.uses - tested
        self._template = _ENVIRONMENT.from_string(written)

    def __reduce__(self) -> tuple[Any, ...]:
        return Template, (self.source, self.name)

    @property
    def shown(self) -> Shown:
        """The default of `images`: true if the template prints them, `optional` if it tests whether there are any."""
        return True if "images" in self.reads else "optional" if "images" in self.uses else False

    def render(self, fields: Mapping[str, Any], images: Shown | None = None) -> tuple[Turn, ...]:
        """Returns the chat turns for a record's fields.

        Args:
            images: whether the record's images are shown; by default as the template does.

        Raises:
            RecordError: if a field is missing or the template fails on this record's values.
        """
        return place_images(self.draft(fields, images), len(images_in(fields)))

    def draft(self, fields: Mapping[str, Any], images: Shown | None = None) -> tuple[Draft, ...]:
        """Returns the turns with places that are not resolved to images yet; arguments and errors as for `render`."""
        shown = self.shown if images is None else images
        values = {name: fields[name] for name in self.uses if name in fields and name != "images"}
        count = len(images_in(fields)) if shown else 0
        if shown is True and not count:
            raise RecordError(
                f"template {self.name} shows images, but the record has none (`images: optional` asks without them)"
            )
        if count or "images" in self.reads:
            values["images"] = _Images(count)
        values = {
            name: _place_tags(value, name, shown=bool(shown)) if name != "images" else value
            for name, value in values.items()
        }
        before = begin()
        try:
            text = render(self._template, values)
        except Exception as error:
            raise _failure(f"template {self.name}", error) from error
        finally:
            end(before)
        if count and "images" not in self.uses:
            text = _lead(text)
        return _split_turns(text, self.name)


def _lead(text: str) -> str:
    """Returns a rendered text with all images at the start of its first user turn."""
    images = _mark("images", "")
    if not (first := _MARK.match(text.lstrip())) or first[1].lower() != "role":
        return images + text
    text = text.lstrip()
    user = _mark("role", "user")
    return text.replace(user, user + images, 1) if user in text else text + user + images


def _with_tags(source: str) -> str:
    """Returns a template's text with its `<image>` tags as expressions: one tag shows all images, several one each."""
    if source.count(TAG) == 1 and "images" not in source:
        return source.replace(TAG, "{{ images }}")
    for number in range(source.count(TAG)):
        source = source.replace(TAG, f"{{{{ images[{number}] }}}}", 1)
    return source


def images_in(fields: Mapping[str, Any]) -> list[str]:
    """Returns a record's images; none if the field is missing or null.

    Raises:
        RecordError: if the value is not a list of texts.
    """
    found = fields.get("images")
    if found is None:
        return []
    if not isinstance(found, list):
        raise RecordError(f"field 'images' is not a list, but {type(found).__name__}")
    for image in found:
        if not isinstance(image, str):
            raise RecordError(f"field 'images' holds {type(image).__name__}, not a path or URI")
    return found


def _place_tags(value: Any, name: str, *, shown: bool) -> Any:
    """Replaces the media tags in a field's value by marks, or by words if no images are shown."""
    number = 0

    def replace(item: Any) -> Any:
        nonlocal number
        if isinstance(item, str):
            if has_other_tags(item):
                raise RecordError(f"field {name!r} has a <video> or <audio> tag, and video and audio are not supported")
            if TAG not in item:
                return item
            if not shown:
                return name_tags(item)
            number += 1
            marks = (
                _tag_mark(part) if isinstance(part, Place) else part for part in split_tags(item, f"{name}.{number}")
            )
            return "".join(marks)
        if isinstance(item, list):
            return [replace(one) for one in item]
        return {key: replace(one) for key, one in item.items()} if isinstance(item, dict) else item

    return replace(value)


def _tag_mark(place: Place) -> str:
    return _mark("lead" if place.leads else "tag", place.name)


def _split_turns(text: str, name: str) -> tuple[Draft, ...]:
    if "\x02" not in text and _NONCE[:6] not in text:
        return (Draft("user", (text.strip(),)),) if text.strip() else ()
    turns: list[tuple[str, list[str | ImagePart | Place]]] = [("user", [])]
    last = 0
    for mark in _MARK.finditer(text):
        if mark.start() > last:
            turns[-1][1].append(text[last : mark.start()])
        last = mark.end()
        kind = mark[1].lower()
        if kind == "role":
            turns.append((mark[2].lower(), []))
        else:
            turns[-1][1].append(
                ImagePart(int(mark[2]))
                if kind == "image"
                else REST
                if kind == "images"
                else Place(mark[2], kind == "lead")
            )
    if last < len(text):
        turns[-1][1].append(text[last:])
    if any(_NONCE[:6] in part for _, parts in turns for part in parts if isinstance(part, str)):
        raise RecordError(f"template {name}: a filter cuts a text at the position of an image")
    trimmed = (_trim(role, parts) for role, parts in turns)
    return tuple(turn for turn in trimmed if turn.parts)


def _trim(role: str, parts: list[str | ImagePart | Place]) -> Draft:
    """Drops the white space at both ends of a turn, which is only the template's layout."""
    trimmed = list(parts)
    if trimmed and isinstance(trimmed[0], str):
        trimmed[0] = trimmed[0].lstrip()
    if trimmed and isinstance(trimmed[-1], str):
        trimmed[-1] = trimmed[-1].rstrip()
    return Draft(role, tuple(part for part in trimmed if part != ""))


class Expression:
    """A Jinja expression over a record's fields, as `keep`, `when` and `where` have it.

    Raises:
        jinja2.TemplateSyntaxError: if the text isn't an expression.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        with _compiling("expression"):
            self.reads, self._compiled = _compile(source)

    def __reduce__(self) -> tuple[Any, ...]:
        return Expression, (self.source,)

    def __call__(self, fields: Mapping[str, Any]) -> Any:
        """Returns the expression's value.

        Raises:
            RecordError: if a field is missing or the operation fails on this record's values.
        """
        before = begin()
        try:
            return self._value(fields)
        except Exception as error:
            raise _failure(repr(self.source), error) from error
        finally:
            end(before)

    def test(self, fields: Mapping[str, Any]) -> bool:
        """Returns the truth of the expression; raises as calling it does."""
        before = begin()
        try:
            return bool(self._value(fields))
        except Exception as error:
            raise _failure(repr(self.source), error) from error
        finally:
            end(before)

    def _value(self, fields: Mapping[str, Any]) -> Any:
        context = make_context(self._compiled, {name: fields[name] for name in self.reads if name in fields})
        deque(self._compiled.root_render_func(context), maxlen=0)
        value = context.vars["result"]
        if isinstance(value, jinja2.Undefined):
            str(value)  # a strict undefined raises on any use
        return value

    def parts(self) -> tuple[Expression, ...]:
        """Returns what the expression's outermost `and`s join; itself alone where there is none."""
        (output,) = _ENVIRONMENT.parse("{{ (" + self.source + ") }}").body
        assert isinstance(output, jinja2.nodes.Output)
        if not isinstance(output.nodes[0], jinja2.nodes.And):
            return (self,)
        texts, depth = [""], 0
        # What is outermost is an `and`, so no `or`, `not` or `if` reaches over one that stands in no bracket.
        for _, kind, text in list(_ENVIRONMENT.lex("{{" + self.source + "}}"))[1:-1]:
            depth += (text in "([{") - (text in ")]}") if kind == "operator" else 0
            if kind == "name" and text == "and" and depth == 0:
                texts.append("")
            else:
                texts[-1] += text
        return tuple(Expression(text.strip()) for text in texts)


def _failure(what: str, error: Exception) -> RecordError:
    """Returns what an evaluation's exception means for its record.

    Filters and methods raise nearly anything on odd values: LookupError for an unknown encoding, AssertionError,
    MemoryError, KeyError for a format's field.
    """
    if isinstance(error, RecordError):
        return error
    if isinstance(error, jinja2.UndefinedError):
        return MissingField(f"{what}: {error}")
    said = shorten_text(str(error), 300)
    if isinstance(error, jinja2.TemplateError | TypeError | ValueError | ArithmeticError):
        return RecordError(f"{what}: {said}")
    return RecordError(f"{what}: {type(error).__name__}: {said}")


@contextlib.contextmanager
def _compiling(name: str) -> Iterator[None]:
    """Makes a TemplateSyntaxError of whatever the compilation of a text raises: it may be nested too deeply."""
    try:
        yield
    except jinja2.TemplateSyntaxError:
        raise
    except RecursionError as error:
        raise jinja2.TemplateSyntaxError("is nested too deeply", 1, name) from error
    except Exception as error:  # numbers of thousands of digits, Python's own limits of nesting
        raise jinja2.TemplateSyntaxError(shorten_text(str(error), 200), 1, name) from error


def failed_check(check: Expression, fields: Mapping[str, Any]) -> str:
    """Returns why a record was dropped: the condition that is false for it, and the values that it was tested on."""
    values = ", ".join(
        f"{name}={shorten_text(repr(fields[name]), 200)}" if name in fields else f"no {name}"
        for name in sorted(check.reads)
    )
    return f"not {check.source} ({values[:200]})"


@lru_cache(maxsize=512)
def _compile(source: str) -> tuple[frozenset[str], Any]:
    compiled = _ENVIRONMENT.compile_expression(source, undefined_to_none=False)
    names = jinja2.meta.find_undeclared_variables(_ENVIRONMENT.parse("{{ (" + source + ") }}"))
    return frozenset(names - set(_ENVIRONMENT.globals)), compiled._template


def defuse(match: re.Match[str]) -> str:
    """Breaks a special token or tag in a text by a space behind its first character, so that it stays text."""
    return f"{match[0][0]} {match[0][1:]}"


def find_template(name: str, folders: list[Path]) -> Path | None:
    """Returns the file of a template below one of the folders, or None; never a file outside of them."""
    for folder in folders:
        path = (folder / name).resolve()
        if path.is_file() and path.is_relative_to(folder.resolve()):
            return path
    return None
