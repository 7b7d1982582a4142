"""Converts the validation errors of a config to problems of the recipe, with file and line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from mminf.config import HIDDEN_INPUT, Config
from mminf.errors import Problem, nearest, shorten_text
from mminf.recipe.lines import Document, Path_
from mminf.redact import redact

_HIDDEN = frozenset({"api_key_env", "headers", "query", "extra_body", "base_url", "url"})
"""Settings that may contain a key: their values are not printed."""
_AS_LIST = "function-before[_as_list(), list[str]]"


def find_problems(
    error: ValidationError, cls: type[BaseModel], document: Document, path: Path_, *, label: str
) -> Iterator[Problem]:
    """Yields the problems of the part of a recipe at `path`.

    Args:
        cls: config of that part.
        label: name of that part, which the messages begin with; empty for the recipe as a whole.
    """
    for item in error.errors():
        loc = tuple(part for part in item["loc"] if part != _AS_LIST)
        parts = [label, _explain(item, cls, loc)]
        yield Problem(document.locate((*path, *loc)), ": ".join(part for part in parts if part))


def _explain(item: Any, cls: type[BaseModel], loc: Path_) -> str:
    name = ".".join(map(str, loc))
    if item["type"] == "extra_forbidden":
        owner = _owner(cls, loc[:-1])
        return f"unknown key {str(loc[-1])!r}{nearest(str(loc[-1]), owner.model_fields)}"
    if item["type"] == "missing":
        return f"key {name!r} is missing"
    prefix = f"{name}: " if name else ""
    if item["type"] == "value_error":  # raised by a config of mminf; its text contains the value
        return redact(f"{prefix}{item['ctx']['error']}")
    if item["type"] == HIDDEN_INPUT or not _HIDDEN.isdisjoint(map(str, loc)):
        return f"{prefix}{item['msg']}"
    return f"{prefix}{item['msg']}, not {redact(shorten_text(repr(item['input'])))}"


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
