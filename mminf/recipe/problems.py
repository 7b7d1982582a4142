"""Converts the validation errors of a config to problems of the recipe, with file and line."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ValidationError

from mminf.config import HIDDEN_INPUT, Config, members
from mminf.errors import Problem, nearest, shorten_text
from mminf.recipe.lines import Document, Path_
from mminf.redact import redact

_HIDDEN = frozenset({"api_key_env", "headers", "query", "extra_body", "base_url", "url"})
"""Settings that may contain a key: their values are not printed."""
_KINDS = {
    "string": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "frozen_set": "a list",
    "dict": "a mapping (`key: value`)",
    "mapping": "a mapping (`key: value`)",
    "model": "a mapping (`key: value`)",
    "path": "a path",
    "none_required": "null",
}
"""The kinds of values, by what the types of pydantic's errors begin with."""
_WORDS = {
    "int_from_float": "must be a whole number",
    "finite_number": "must be a finite number",
    "literal_error": "must be one of {expected}",
    "enum": "must be one of {expected}",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "too_short": "must have {min_length} or more items",
    "too_long": "must have {max_length} or fewer items",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have {max_length} or fewer characters",
}
_KEY = "[key]"
"""The end of the place of an error in the key of a mapping."""
_CLASS = re.compile(r"\[(?P<set>[^\]]+)\](?:\{1,(?P<most>\d+)\}|\+)")
"""Matches patterns that are one class of characters."""


def find_problems(
    error: ValidationError, cls: type[BaseModel], document: Document, path: Path_, *, label: str
) -> Iterator[Problem]:
    """Yields the problems of the part of a recipe at `path`.

    Args:
        cls: config of that part.
        label: name of that part, which the messages begin with; empty for the recipe as a whole.
    """
    for items in _by_value(error, cls):
        loc, item = items[0]
        said = [_say(other) for _, other in items]
        if item["type"].endswith("_type") and _takes_text(cls, loc):
            said.insert(0, "must be a text")
        parts = [label, _explain(item, cls, loc, said)]
        yield Problem(document.locate((*path, *loc)), ": ".join(part for part in parts if part))


def _by_value(error: ValidationError, cls: type[BaseModel]) -> Iterator[list[tuple[Path_, Any]]]:
    """Yields the errors about each value, each with the value's place.

    pydantic has one error for each kind of value that a key may have, and the kind in the place of the error. An error
    inside a value is preferred: its kind is the one that was meant.
    """
    found: dict[Path_, list[tuple[Path_, Any]]] = {}
    inner: set[Path_] = set()
    for item in error.errors():
        loc = tuple(part for part in item["loc"] if part != _KEY)
        at = _kind_at(cls, loc)
        if at is None:
            found.setdefault(loc, []).append((loc, item))
            continue
        value, rest = loc[:at], loc[at + 1 :]
        if rest and value not in inner:
            inner.add(value)
            found.pop(value, None)
        if rest or value not in inner:
            found.setdefault(value, []).append(((*value, *rest), item))
    for at_value, items in found.items():
        yield from ([item] for item in items) if at_value in inner else [items]


def _kind_at(cls: type[BaseModel], loc: Path_) -> int | None:
    """Returns which part of an error's place is the kind of a value, or None."""
    return next((number for number, (kind, _) in enumerate(_values_on(cls, loc[:-1])) if len(members(kind)) > 1), None)


def _takes_text(cls: type[BaseModel], loc: Path_) -> bool:
    """Returns whether a value may be a text, which its config converts (`for_each: items`)."""
    *_, (_, marks) = _values_on(cls, loc)
    return any(isinstance(mark, BeforeValidator) and str in members(mark.json_schema_input_type) for mark in marks)


def _values_on(cls: type[BaseModel], loc: Path_) -> Iterator[tuple[Any, list[Any]]]:
    """Yields the annotation of each value on the way to a place, and what it is annotated with; first the config."""
    kind: Any = cls
    marks: list[Any] = []
    for part in (*loc, None):
        while get_origin(kind) is Annotated or (get_origin(kind) in (Union, UnionType) and len(members(kind)) == 1):
            if get_origin(kind) is Annotated:
                marks = [*marks, *kind.__metadata__]
                kind = get_args(kind)[0]
            else:  # an optional value
                kind = next(part for part in get_args(kind) if part is not NoneType)
        yield kind, marks
        args = get_args(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(str(part))
            kind, marks = (field.annotation, list(field.metadata)) if field else (None, [])
        else:
            kind, marks = args[-1] if args and args[-1] is not Ellipsis else next(iter(args), None), []


def without_unknown(body: Mapping[str, Any], error: ValidationError) -> dict[str, Any] | None:
    """Returns a config without its unknown keys, or None if it has other problems."""
    kept: dict[str, Any] = copy.deepcopy(dict(body))
    for item in error.errors():
        if item["type"] != "extra_forbidden":
            return None
        owner: Any = kept
        for key in item["loc"][:-1]:
            if not isinstance(owner, dict) or key not in owner:
                return None  # an item of a list, or the name of an alternative
            owner = owner[key]
        owner.pop(item["loc"][-1], None)
    return kept


def _explain(item: Any, cls: type[BaseModel], loc: Path_, said: Sequence[str]) -> str:
    """Returns one problem of a value. `said`: what it must be, for each kind that it may have."""
    name = ".".join(map(str, loc))
    if item["type"] == "extra_forbidden":
        owner = _owner(cls, loc[:-1])
        return f"unknown key {str(loc[-1])!r}{nearest(str(loc[-1]), owner.model_fields)}"
    if item["type"] == "missing":
        return f"key {name!r} is missing"
    prefix = f"{name}: " if name else ""
    if item["type"] == "value_error":  # raised by a config of mminf; its text contains the value
        return redact(f"{prefix}{item['ctx']['error']}")
    if item["type"] == HIDDEN_INPUT:
        return f"{prefix}{item['msg']}"
    must = ", or ".join([said[0], *(other.removeprefix("must be ") for other in said[1:])])
    if not _HIDDEN.isdisjoint(map(str, loc)):
        return f"{prefix}{must}"
    quote = item["type"] == "string_type" and isinstance(item["input"], Mapping)
    hint = "; quote a text that contains a colon or braces" if quote else ""
    if item["type"] == "string_type" and isinstance(item["input"], bool):
        hint = "; quote a text such as 'no' or 'on', which YAML reads as true or false"
    return f"{prefix}{must}, not {redact(shorten_text(repr(item['input'])))}{hint}"


def _say(item: Any) -> str:
    """Returns what is wrong with a value, in the words of recipes. `item`: an error of pydantic."""
    kind, values, text = str(item["type"]), item.get("ctx") or {}, str(item["msg"])
    if kind == "string_pattern_mismatch":
        return _say_pattern(str(values.get("pattern")))
    if kind in ("literal_error", "enum") and " or " not in (expected := str(values["expected"])):
        return f"must be {expected}"
    if kind in _WORDS:
        return _WORDS[kind].format(**values)
    if kind.endswith(("_parsing", "_type")) and (known := kind.rpartition("_")[0]) in _KINDS:
        return f"must be {_KINDS[known]}"
    return text.replace("Input should be a valid ", "must be a ").replace("Input should be ", "must be ")


def _say_pattern(pattern: str) -> str:
    found = _CLASS.fullmatch(pattern.strip("^$"))
    if found is None:
        return f"must match {pattern}"
    shown = re.sub(r"\w-\w|.", lambda part: f" {part[0]}", found["set"]).strip()
    number = f"at most {found['most']} of the" if found["most"] else "only the"
    return f"must contain {number} characters {shown}"


def _owner(cls: type[BaseModel], path: Path_) -> type[BaseModel]:
    """Returns the config that the keys at `path` belong to."""
    for key in path:
        field = cls.model_fields.get(str(key))
        annotation = field.annotation if field else None
        kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
        if (owner := next((kind for kind in kinds if issubclass(kind, Config)), None)) is None:
            break
        cls = owner
    return cls
