"""Steps with a problem: what they may write, so that the fields of the other steps can be checked all the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, ClassVar, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from mminf.recipe.model import Recipe, StepLike, TemplateFolders
from mminf.recipe.names import step_name
from mminf.recipe.wrap import wrap_step
from mminf.registry import STEPS, is_bundled
from mminf.template import Template

_NAME = re.compile(r"\w+")
_GROUP = re.compile(r"\(\?P<(\w+)>")
_NO_FIELDS = ("engine", "template", "prompt", "sampling")
_ANY_TEXT = "x"
"""Valid as an expression, as a template and as a regular expression."""


@dataclass(frozen=True, slots=True)
class Doubtful:
    """Stands for a step with a problem among the steps of a recipe that has problems.

    Attributes:
        name: name of the step; empty if that is not known.
        known: it is known which fields it may write.
        may_write: these fields, and those that its settings name; of an unknown step the fields that other steps read.
        writes: those that a valid step would write, as far as that is known.
        reads: the fields that it reads, as far as that is certain.
    """

    name: str
    known: bool = False
    may_write: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    reads: frozenset[str] = frozenset()
    type: ClassVar[str] = ""
    version: ClassVar[int] = 0
    dataset: ClassVar[bool] = False
    gate: ClassVar[bool] = False
    config: ClassVar[None] = None
    engine: ClassVar[None] = None
    removes: ClassVar[frozenset[str]] = frozenset()
    checks: ClassVar[tuple[Any, ...]] = ()

    @property
    def uses(self) -> frozenset[str]:
        return self.reads

    def describe(self) -> dict[str, Any]:
        return {}


def may_write(step: StepLike) -> frozenset[str]:
    """Returns the fields that a step writes, or may write if it has a problem."""
    return step.may_write if isinstance(step, Doubtful) else step.writes


def doubt(item: object, folders: TemplateFolders, step: StepLike | None = None) -> Doubtful:
    """Returns what stands for a step with a problem.

    A field must not be reported as missing if the step will write it once it is mended. So the step may write what its
    settings name, and what a step of its type writes without the settings that are not valid. The type may be misspelt:
    it is one with nearly that name. A plugin's step may write anything: its code decides, by any of its settings.

    Args:
        item: the step as the recipe has it.
        step: the step without its unknown keys, if it has no other problem.
    """
    name = step_name(item) or ""
    kind, body = next(iter(item.items())) if isinstance(item, Mapping) and len(item) == 1 else ("", None)
    known = kind if kind in STEPS else next(iter(get_close_matches(str(kind), list(STEPS), n=1, cutoff=0.8)), None)
    if known is None or not is_bundled(cls := STEPS.get(known)):
        return Doubtful(name)
    if not isinstance(body, Mapping):
        body = {} if body is None or cls.Config.shorthand is None else {cls.Config.shorthand: body}
    body = {"name": known, **body}
    reads = frozenset[str]()
    if step is None:
        step = _repair(cls, body, folders)
    elif not _may_be_misspelt(cls.Config, body):
        reads = step.reads
    if step is None:
        return Doubtful(name)
    named = _names({key: value for key, value in body.items() if key not in _NO_FIELDS})
    return Doubtful(name, True, step.writes | frozenset(named) - cls.Config.model_fields.keys(), step.writes, reads)


def fill_unknown(steps: Iterable[StepLike]) -> list[StepLike]:
    """Returns steps of which those that may write any field may write all that other steps read."""
    given = list(steps)
    wanted = frozenset[str]().union(*(step.uses for step in given))
    unknown = [isinstance(step, Doubtful) and not step.known for step in given]
    return [
        replace(step, may_write=wanted) if isinstance(step, Doubtful) and is_unknown else step
        for step, is_unknown in zip(given, unknown, strict=True)
    ]


def only_known(recipe: Recipe) -> Recipe:
    """Returns a recipe without what can't be checked if a step may write any field: sinks, and parts by a field."""
    if all(step.known for step in recipe.steps if isinstance(step, Doubtful)):
        return recipe
    return replace(recipe, run=recipe.run.model_copy(update={"split": None}), sinks=())


def _may_be_misspelt(cls: type[BaseModel], body: Mapping[str, object]) -> bool:
    """Returns whether an unknown key of a config may be meant to be another key, which changes what is read."""
    try:
        cls.model_validate(body)
    except ValidationError as error:
        places = [item["loc"] for item in error.errors()]
        return any(len(place) > 1 or get_close_matches(str(place[0]), cls.model_fields, n=1) for place in places)
    return False


def _repair(cls: Any, body: Mapping[str, object], folders: TemplateFolders) -> StepLike | None:
    """Returns a step without the problems of its settings; None if it can't be built without them."""
    valid = _valid(cls.Config, {key: value if key == "name" else _plain(value) for key, value in body.items()})
    if valid is None:
        return None
    try:
        made: StepLike = wrap_step(cls(valid, _AnyTemplates(folders.folders)))
    except Exception:  # the problem was reported; many kinds are possible
        return None
    return made


class _AnyTemplates(TemplateFolders):
    """Templates of a step with a problem: those that can't be found or read are empty."""

    def template(self, name: str) -> Template:
        try:
            return super().template(name)
        except Exception:  # jinja2 and the file system raise many kinds
            return Template("", name)

    def text(self, name: str) -> str:
        try:
            return super().text(name)
        except (OSError, UnicodeError):
            return ""


def _valid(cls: type[BaseModel], body: Mapping[str, object]) -> BaseModel | None:
    """Returns a config without the keys that are not valid; None if it needs them, or if they may name fields."""
    for _ in range(2):
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            places = [item["loc"] for item in error.errors()]
            if any(_loses_names(cls, item) for item in error.errors()):
                return None
            body = {key: value for key, value in body.items() if all(place[0] != key for place in places)}
        except Exception:  # the config of a plugin may raise anything
            return None
    return None


def _loses_names(cls: type[BaseModel], error: Any) -> bool:
    """Returns whether a config may name other fields once an error is mended: in place of a wrong value or unknown key.

    The names that unknown keys have are known, unless they are in a mapping: it is left out as a whole.
    """
    place = error["loc"]
    if error["type"] != "extra_forbidden":
        return _takes_names(cls, place)
    return len(place) > 1 and place[0] not in _NO_FIELDS and _takes_names(cls, place[:-1])


def _takes_names(kind: Any, loc: Sequence[str | int]) -> bool:
    """Returns whether a setting can have a text as its value, or is not found."""
    if not loc:
        return any(part in (Any, object) or issubclass(part, str | BaseModel | Mapping) for part in _classes(kind))
    if isinstance(loc[0], int):  # an item of a list
        return _takes_names(kind, loc[1:])
    for part in _classes(kind):
        if issubclass(part, BaseModel) and loc[0] in part.model_fields:
            return _takes_names(part.model_fields[loc[0]].annotation, loc[1:])
    return True


def _classes(kind: Any) -> Iterator[type]:
    """Yields the classes in an annotation; those of literals are left out."""
    if isinstance(kind, type) and not get_args(kind):
        yield kind
    elif get_origin(kind) is not Literal:
        if isinstance(origin := get_origin(kind), type):
            yield origin
        for part in get_args(kind):
            yield from _classes(part)


def _plain(value: object) -> object:
    """Returns a setting whose texts are names; expressions and prompts don't matter, and may not be valid."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if not isinstance(value, str) or _NAME.fullmatch(value) else _ANY_TEXT


def _names(value: object) -> Iterator[str]:
    """Yields all texts and keys of settings, and the names of groups of regular expressions."""
    if isinstance(value, Mapping):
        yield from (key for key in value if isinstance(key, str))
        for item in value.values():
            yield from _names(item)
    elif isinstance(value, list):
        for item in value:
            yield from _names(item)
    elif isinstance(value, str):
        yield value
        yield from _GROUP.findall(value)
