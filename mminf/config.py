"""The base of everything that a recipe configures: unknown keys are errors, every field is described."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Names = Annotated[list[str], BeforeValidator(_as_list, json_schema_input_type=str | list[str])]
"""A list of names; one name may stand without its brackets."""

HIDDEN_INPUT = "hidden_input"
"""Type of validation errors that are told without the value that they are about."""


class Config(BaseModel):
    """Base of all configs.

    Attributes:
        shorthand: the field that a bare value in the recipe stands for (`keep: a > 1`).
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), arbitrary_types_allowed=True, hide_input_in_errors=True
    )
    shorthand: ClassVar[str | None] = None
