"""Shortcuts for the usual values give what the general way gives."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import pickle
import re
from importlib.metadata import entry_points
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf import reasoning, special_tokens, turns
from mminf.answer.score import _read_score, parse_score
from mminf.errors import UnusableAnswer
from mminf.lazy import lazy_pattern
from mminf.plugin.discovery import COMMANDS, GROUP, installed
from mminf.request import Generation
from mminf.source.base import json_fields, load_json
from mminf.special_tokens import escape_tokens
from mminf.turns import REST, Draft, ImagePart, Place, Turn, place_images

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def read(text: str, low: int, high: int, *, plain: bool) -> int | None:
    """The score, read by either way."""
    try:
        return parse_score(text, low, high) if plain else _read_score(text, low, high)
    except UnusableAnswer:
        return None


@pytest.mark.parametrize("form", ["{}", "[[{}]]"])
def test_a_bare_score_is_the_same_either_way(form: str) -> None:
    for low, high in ((1, 5), (0, 1), (0, 10), (1, 10), (2, 3), (0, 99)):
        for number in (*range(100), "00", "05"):
            text = form.format(number)
            assert read(text, low, high, plain=True) == read(text, low, high, plain=False), (text, low, high)


PIECES = [
    "[THINK]",
    "[/think]",
    "[[5]]",
    "[",
    "assistantfinal",
    "ASSISTANTFINAL",
    "analysisThe",
    "Here is my thought process:",
]
PIECES += [
    "\nHere is my response:",
    "\nHere’s my response:",
    "◁think▷",
    "<think>",
    "</Think>",
    "<|channel|>",
    "A",
    " ",
    "\n",
    "nk]",
]


@given(st.text("[]THINKthinkⓀK/<>◁▷ 5\n", max_size=30) | st.lists(st.sampled_from(PIECES), max_size=5).map("".join))
def test_a_text_that_is_not_searched_has_no_marker_of_reasoning(text: str) -> None:
    assert reasoning._may_have_markers(text) or reasoning._MARKER.search(text) is None


@given(
    st.lists(
        st.sampled_from(
            ["[", "]", "/", "INST", "IMG", "gMASK", "MASK", "UNUSED_TOKEN_", "12", "｜", "|", ">", " ", "a"]
        )
    ).map("".join)
)
def test_special_tokens_without_an_angle_bracket(text: str) -> None:
    escaped, pattern = text, special_tokens._pattern(frozenset())
    while (again := pattern.sub(special_tokens.break_token, escaped)) != escaped:
        escaped = again
    assert escape_tokens(text) == escaped


def test_every_word_and_form_without_an_angle_bracket_is_covered() -> None:
    assert all("<" in token for token in special_tokens._WORDS)
    others = [form for form in special_tokens._FORMS if form != special_tokens._BRACKETED]
    assert all("<" in form for form in others)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_rows_of_json_stay_as_they_are(row: dict[str, Any]) -> None:
    assert json_fields(row) == load_json(json.dumps(row))


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_rows_are_copied(row: dict[str, Any]) -> None:
    before = json.dumps(row)
    for value in json_fields(row).values():
        if isinstance(value, list):
            value.append("another")
    assert json.dumps(row) == before


def test_rows_of_other_values_become_json() -> None:
    with pytest.raises(ValueError, match="4300 digits"):
        json_fields({"a": 10**5000})
    assert json_fields({"a": 2**63, "b": -(2**63)}) == {"a": 2**63, "b": -(2**63)}
    assert json_fields({"a": (1, 2), "b": math.nan, "c": [{"d": -math.inf}]}) == {
        "a": [1, 2],
        "b": None,
        "c": [{"d": None}],
    }
    deep: Any = "x"
    for _ in range(400):
        deep = {"a": [deep]}
    assert json_fields({"deep": deep}) == {"deep": deep}


PARTS = (
    st.text(max_size=3)
    | st.builds(ImagePart, st.integers(0, 2))
    | st.sampled_from([REST, Place("a.1"), Place("b.1", True)])
)


@given(
    st.lists(
        st.builds(Draft, st.sampled_from(["user", "assistant"]), st.lists(PARTS, max_size=3).map(tuple)), max_size=3
    )
)
def test_turns_of_one_text_need_no_numbers(drafts: list[Draft]) -> None:
    numbering = turns._number_images(drafts, 3)
    parts = [[one for part in draft.parts for one in numbering.resolve(part)] for draft in drafts]
    wanted = tuple(Turn(draft.role, turns._joined(found)) for draft, found in zip(drafts, parts, strict=True))
    assert place_images(drafts, 3) == wanted


def test_an_answer_keeps_every_field_when_it_is_timed() -> None:
    answer = Generation("a", "stop", 1, 2, (0.5,), (0.25,), b"v", "thought")
    timed = answer.timed(1.5, 0.5, 3.0)
    for field in dataclasses.fields(Generation):
        wanted = {"seconds": 1.5, "waited": 0.5, "in_flight": 3.0}.get(field.name, getattr(answer, field.name))
        assert getattr(timed, field.name) == wanted, field.name
    assert all(getattr(answer, field.name) for field in dataclasses.fields(Generation)[:8]), (
        "each differs from its default"
    )


def test_a_pattern_is_compiled_when_it_is_first_used() -> None:
    broken = lazy_pattern("(")
    with pytest.raises(re.error):
        broken.search("a")
    pattern = lazy_pattern(r"(?P<word>b+)|x", re.IGNORECASE)
    eager = re.compile(r"(?P<word>b+)|x", re.IGNORECASE)
    for text in ("aBBa x", "", "bb"):
        assert pattern.findall(text) == eager.findall(text)
        assert pattern.sub("-", text) == eager.sub("-", text)
        assert (pattern.fullmatch(text) is None) == (eager.fullmatch(text) is None)
    assert pattern.groupindex == eager.groupindex and repr(pattern).startswith("lazy_pattern('(?P<word>")
    for other in (copy.copy(pattern), copy.deepcopy(pattern), pickle.loads(pickle.dumps(pattern))):
        assert other.findall("aBBa") == ["BB"]


@pytest.mark.parametrize("group", [GROUP, COMMANDS])
def test_installed_plugins_are_those_of_the_metadata(group: str) -> None:
    assert installed(group) == sorted(entry_points(group=group), key=lambda entry: entry.name)
