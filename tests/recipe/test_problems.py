"""Values of a wrong kind are told once, in the words of recipes."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from mminf.config import Config
from mminf.recipe.lines import parse_document
from mminf.recipe.problems import find_problems


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(Config):
    size: int | Literal["auto"] = 1


class Outer(Config):
    """Keys whose values may have several kinds."""

    shown: bool | Literal["optional"] | None = None
    many: bool | Literal["a", "b"] = True
    names: dict[str, list[str] | dict[str, list[str]]] = Field(default_factory=dict)
    items: list[Inner] = Field(default_factory=list)
    inner: Inner | None = None
    bounded: Annotated[int, Field(ge=1)] | Annotated[float, Field(le=0)] | None = None
    constants: dict[str, str | int | bool] = Field(default_factory=dict)
    colour: Colour = Colour.RED


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"shown": "all"}, ["shown: must be true or false, or 'optional', not 'all'"]),
        ({"many": 3}, ["many: must be true or false, or one of 'a' or 'b', not 3"]),
        ({"names": {"a": 7}}, ["names.a: must be a list, or a mapping (`key: value`), not 7"]),
        ({"names": {"a": [1, "x", 2]}}, ["names.a.0: must be a text, not 1", "names.a.2: must be a text, not 2"]),
        ({"names": {"a": {"b": [1]}}}, ["names.a.b.0: must be a text, not 1"]),
        ({"items": [{"size": 1}, {"size": "x"}]}, ["items.1.size: must be a whole number, or 'auto', not 'x'"]),
        ({"inner": {"size": []}}, ["inner.size: must be a whole number, or 'auto', not []"]),
        ({"inner": {"sise": 1}}, ["unknown key 'sise'; did you mean 'size'?"]),
        ({"bounded": 0.5}, ["bounded: must be a whole number, or at most 0.0, not 0.5"]),
        ({"constants": {"int": []}}, ["constants.int: must be a text, or a whole number, or true or false, not []"]),
        ({"colour": 3}, ["colour: must be one of 'red' or 'blue', not 3"]),
        ({"shown": 2, "many": 2}, ["shown: ", "many: "]),
    ],
)
def test_a_value_of_a_wrong_kind_is_told_once(values: dict[str, object], told: list[str]) -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(values)
    problems = find_problems(caught.value, Outer, parse_document("a: 1", "r.yaml"), (), label="")
    texts = [problem.message for problem in problems]
    assert len(texts) == len(told)
    for text, wanted in zip(texts, told, strict=True):
        assert text.startswith(wanted)
