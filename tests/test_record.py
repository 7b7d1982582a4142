from __future__ import annotations

import json

import pytest

from mminf.errors import MissingField, PluginError, RecordError
from mminf.record import Json, Record, derive_seed, digest, json_bytes
from mminf.registry import Registry


def test_seeds_depend_on_every_part_and_nothing_else() -> None:
    parts = (0, "a.jpg", "hook", 0, 0)
    assert derive_seed(*parts) == derive_seed(*parts)
    others = [(1, *parts[1:]), (0, "b.jpg", "hook", 0, 0), (0, "a.jpg", "score", 0, 0), (*parts[:3], 1, 0)]
    assert len({derive_seed(*parts), *(derive_seed(*other) for other in others)}) == 5
    assert derive_seed("a", "bc") != derive_seed("ab", "c")
    assert 0 <= derive_seed(*parts) < 2**31


def test_digest_ignores_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})


@pytest.mark.parametrize("value", [["é", 1.5, None], ["lone \ud800", True], [2**80], {"a": {"b": "\udfff"}}])
def test_json_bytes_are_the_compact_json_of_any_value(value: object) -> None:
    wanted = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    assert json_bytes(value) == wanted.encode("utf-8", "surrogatepass")
    assert json_bytes(value, "replace") == wanted.encode("utf-8", "replace")


def test_a_missing_field_is_named_with_those_that_are_there() -> None:
    with pytest.raises(MissingField, match="no field 'c'; it has: a, b"):
        Record("x", {"a": 1, "b": 2})["c"]


@pytest.mark.parametrize(("value", "text"), [("a\n", "a\n"), ("", ""), (3, "3"), (-0.5, "-0.5")])
def test_texts_and_numbers_are_texts(value: Json, text: str) -> None:
    assert Record("x", {"a": value}).text("a") == text


@pytest.mark.parametrize(
    ("value", "kind"),
    [(None, "null"), (True, "true"), (False, "false"), ([], "a list"), (["3"], "a list"), ({"a": "b"}, "an object")],
)
def test_other_values_are_no_texts(value: Json, kind: str) -> None:
    with pytest.raises(RecordError, match=f"field 'a' is {kind}, not a text"):
        Record("x", {"a": value}).text("a")


def test_children_have_their_parents_fields() -> None:
    child = Record("x", {"a": 1}, seq=7).child(2, {"b": 3})
    assert (child.id, child.fields, child.seq, child.path) == ("x/2", {"a": 1, "b": 3}, 7, (2,))


def test_registry_names_the_nearest_and_refuses_duplicates() -> None:
    registry: Registry[object] = Registry("step")

    @registry.register("score")
    class First:
        pass

    assert registry.get("score") is First
    with pytest.raises(PluginError, match="unknown step 'scor'; did you mean 'score'"):
        registry.get("scor")
    with pytest.raises(PluginError, match="two steps have the name 'score'"):

        @registry.register("score")
        class Second:
            pass
