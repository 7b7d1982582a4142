"""Tells what is wrong with a part of a recipe, with file and line, from the errors of its config."""

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
        label: name of that part in messages about it as a whole.
    """
    for item in error.errors():
        loc = tuple(part for part in item["loc"] if part != _AS_LIST)
        name = ".".join(map(str, loc)) or label
        yield Problem(document.locate((*path, *loc)), _explain(item, cls, loc, name))


def _explain(item: Any, cls: type[BaseModel], loc: Path_, name: str) -> str:
    if item["type"] == "extra_forbidden":
        owner = _owner(cls, loc[:-1])
        return f"unknown key {str(loc[-1])!r}{nearest(str(loc[-1]), owner.model_fields)}"
    if item["type"] == "missing":
        return f"key {name!r} is missing"
    if item["type"] == HIDDEN_INPUT:
        return f"{name}: {item['msg']}"
    if item["type"] == "value_error":  # ours, which say what is wrong with the value
        return redact(f"{name}: {item['ctx']['error']}")
    if not _HIDDEN.isdisjoint(map(str, loc)):
        return f"{name}: {item['msg']}"
    return f"{name}: {item['msg']}, not {redact(shorten_text(repr(item['input'])))}"


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
