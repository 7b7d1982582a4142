"""Values of a wrong kind are told once, in the words of recipes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BeforeValidator, Field, ValidationError

import mminf
from mminf.config import Config, Names
from mminf.errors import RecipeError
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
    count: int | None = None
    share: float = 0.5
    any: object = None
    pair: tuple[int, int] | None = None
    weights: list[str] | dict[str, float] | None = None
    mixed: list[int | bool] = Field(default_factory=list)
    anything: list[object] | dict[str, object] | None = None
    fields: Names = Field(default_factory=list)
    columns: dict[str, Names] = Field(default_factory=dict)
    maybe: Names | None = None
    text_or_inner: Annotated[Inner | None, BeforeValidator(lambda v: v, json_schema_input_type=str | Inner)] = None


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
        ({"count": True}, ["count: must be a whole number, not True"]),
        ({"pair": [True, 3]}, ["pair: must contain numbers, and no true or false, not [True, 3]"]),
        ({"weights": {"a": True}}, ["weights: must contain numbers, and no true or false, not {'a': True}"]),
        ({"share": False}, ["share: must be a number, not False"]),
        ({"inner": {"size": True}}, ["inner.size: must be a whole number, not True"]),
        ({"bounded": True}, ["bounded: must be a whole number, not True"]),
        ({"fields": 3}, ["fields: must be a text, or a list, not 3"]),
        ({"fields": [3]}, ["fields.0: must be a text, not 3"]),
        ({"columns": {"image": 3}}, ["columns.image: must be a text, or a list, not 3"]),
        ({"maybe": 3}, ["maybe: must be a text, or a list, not 3"]),
        ({"text_or_inner": 3}, ["text_or_inner: must be a text, or a mapping (`key: value`), not 3"]),
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


def test_booleans_are_valid_where_they_may_be() -> None:
    mixed = {"mixed": [1, True], "anything": {"a": True}}
    made = Outer.model_validate({"shown": True, "many": False, "constants": {"a": True}, "any": True, **mixed})
    assert made.mixed == [1, True] and made.anything == {"a": True}
    assert (made.shown, made.many, made.constants, made.any) == (True, False, {"a": True}, True)


def test_a_name_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(
        "source: {blank: 1}\nsteps:\n  - set: {name: [a], fields: {x: '1'}}\n  - set: {name: 3, fields: {y: '1'}}\n"
        "sinks: [jsonl: o.jsonl]\n"
    )
    with pytest.raises(RecipeError) as caught:
        mminf.load(tmp_path / "r.yaml")
    told = [str(problem) for problem in caught.value.problems]
    assert len(told) == 2
    assert told[0].endswith("r.yaml:3: step ['a']: name: must be a text, not ['a']")
    assert told[1].endswith("r.yaml:4: step 3: name: must be a text, not 3")
