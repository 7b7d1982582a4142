"""The base class of all configs in a recipe: unknown keys are errors, every field has a description."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

log = logging.getLogger("mminf")


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Names = Annotated[list[str], BeforeValidator(_as_list, json_schema_input_type=str | list[str])]
"""A list of names. A single name can be given without brackets."""

HIDDEN_INPUT = "hidden_input"
"""Type of validation errors that are printed without the value."""

DEPRECATED = "deprecated"
"""Key of the validation context: a list to which a config adds its deprecations, instead of logging them."""


class Deprecation(NamedTuple):
    """A deprecated spelling in a config.

    Attributes:
        key: the key as it was given.
        message: what is deprecated and what replaces it.
    """

    key: str
    message: str


class Config(BaseModel):
    """Base of all configs.

    Attributes:
        shorthand: the field that a bare value in the recipe sets (`keep: a > 1`).
        renamed: deprecated key -> key. Several deprecated keys of one key become a list, in this order.
        renamed_values: key -> deprecated value -> value.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        protected_namespaces=(),
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
        defer_build=True,
    )
    shorthand: ClassVar[str | None] = None
    renamed: ClassVar[Mapping[str, str]] = {}
    renamed_values: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @classmethod
    def other_spellings(cls, key: str) -> list[str]:
        """Returns the keys that set the same option: the key of a deprecated key, or the deprecated keys of a key."""
        if key in cls.renamed:
            return [cls.renamed[key]]
        return [old for old, new in cls.renamed.items() if new == key]

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_booleans(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuses true and false where a number is expected: pydantic reads them as 1 and 0."""
        annotation = cls.model_fields[info.field_name].annotation if info.field_name is not None else Any
        if isinstance(value, bool) and _takes_numbers_only(annotation):
            raise PydanticCustomError("int_type" if int in members(annotation) else "float_type", "must be a number")
        if any(isinstance(item, bool) for item in _items(value)) and any(map(_takes_numbers_only, _inner(annotation))):
            raise PydanticCustomError("boolean_in_numbers", "must contain numbers, and no true or false")
        return value

    @model_validator(mode="before")
    @classmethod
    def _accept_deprecated(cls, data: Any, info: ValidationInfo) -> Any:
        if not isinstance(data, Mapping) or not (cls.renamed or cls.renamed_values):
            return data
        found: list[Deprecation] = []
        data = _rename_values(cls, _rename_keys(cls, data, found), found)
        told = (info.context or {}).get(DEPRECATED)
        if told is not None:
            told += found
        else:
            for deprecation in found:
                log.warning("%s: %s", cls.__name__, deprecation.message)
        return data


def members(annotation: Any) -> list[Any]:
    """Returns the kinds of a value: the members of a union without null, or the annotation itself."""
    if get_origin(annotation) is Annotated:
        return members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [kind for member in get_args(annotation) if member is not NoneType for kind in members(member)]
    return [annotation]


def _takes_numbers_only(annotation: Any) -> bool:
    kinds = members(annotation)
    return (int in kinds or float in kinds) and not any(kind in (bool, Any, object) for kind in kinds)


def _items(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def _inner(annotation: Any) -> Iterator[Any]:
    """Yields the annotations of the items of lists, and of the values of mappings."""
    for kind in members(annotation):
        if (origin := get_origin(kind)) is not None and origin is not Literal:
            args = [part for part in get_args(kind) if part is not Ellipsis]
            yield from args[-1:] if isinstance(origin, type) and issubclass(origin, Mapping) else args


def _rename_keys(cls: type[Config], data: Mapping[str, Any], found: list[Deprecation]) -> dict[str, Any]:
    given = [old for old in cls.renamed if old in data]
    for old in given:
        if (new := cls.renamed[old]) in data:
            raise ValueError(f"{old!r} is the deprecated name of {new!r}; remove {old!r}")
    changed = {key: value for key, value in data.items() if key not in given}
    for old in given:
        new = cls.renamed[old]
        several = len(cls.other_spellings(new)) > 1
        changed[new] = [*changed.get(new, []), data[old]] if several else data[old]
        found.append(Deprecation(old, f"key {old!r} is deprecated; use {new!r}"))
    return changed


def _rename_values(cls: type[Config], data: dict[str, Any], found: list[Deprecation]) -> dict[str, Any]:
    for key, values in cls.renamed_values.items():
        value = data.get(key)
        if isinstance(value, str) and value in values:
            data = {**data, key: values[value]}
            message = f"value {value!r} of key {key!r} is deprecated; use {values[value]!r}"
            found.append(Deprecation(key, message))
    return data
