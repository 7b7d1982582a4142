"""What a classifier quotes, corrects, adds and leaves out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.answer.ground import is_quoted, tokens

ASKED = "How many boats lie in the harbour?"
SOURCE = f"{ASKED}\nThe water is calm."

WORDS = st.lists(st.sampled_from(["which", "boat", "is", "the", "red", "one", "near", "猫", "図"]), max_size=12)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("How many BOATS?", ["how", "many", "boats"]),
        ("don't, can’t; o'clock", ["don't", "can’t", "o'clock"]),
        ("the 'old' pier's end", ["the", "old", "pier's", "end"]),
        ("snake_case", ["snake", "case"]),
        ("Ｔｗｏ ２", ["two", "2"]),
        ("Straße", ["strasse"]),
        ("几条船？", ["几", "条", "船"]),
        ("この船はABC", ["こ", "の", "船", "は", "abc"]),
        ("ab船cd", ["ab", "船", "cd"]),
        ("배가 몇 척", ["배가", "몇", "척"]),
        (" ?!… 🚤", []),
    ],
    ids=[
        "case", "apostrophes", "quotes", "underscore", "full width", "folded", "chinese", "japanese", "mixed", "korean", "none",
    ],
)  # fmt: skip
def test_words_of_any_script(text: str, words: list[str]) -> None:
    assert tokens(text) == words


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (ASKED, SOURCE),
        ("The water is calm", SOURCE),
        ("how many BOATS lie, in the harbour", SOURCE),
        ("the harbour? The water", SOURCE),
        (ASKED, "HowMany boats lie in the har bour?"),
        (ASKED, "How\nmany **boats** lie in “the harbour”?"),
        ("two boats", "Ｔｗｏ boats"),
        ("有几条船", "港口里有几条船？水面平静。"),
        ("条", "港口里有几条船？"),
        ("船ABC", "一条船 ABC"),
        ("is it red", "this it is. Is it red?"),
    ],
    ids=[
        "start", "end", "case and marks", "across sentences", "joined and split", "emphasis", "full width", "chinese", "one character", "mixed",
        "not the first place",
    ],
)  # fmt: skip
def test_a_text_is_quoted_whatever_its_spaces_and_marks(text: str, source: str) -> None:
    assert is_quoted(text, source)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("is is is?", "hcihwhcihw sisi sisi"),
        ("art", "Start here"),
        ("How man", SOURCE),
        ("ow many boats", SOURCE),
        ("he cat is here", "The cat is here"),
        ("many boats are", SOURCE),
        ("boats many How", SOURCE),
        ("船几条", "港口里有几条船？"),
        ("船AB", "一条船ABC"),
        ("boats", ""),
    ],
    ids=[
        "inside of words", "inside of a word", "end inside a word", "start inside a word", "cut first word", "other word", "other order",
        "chinese order", "cut latin word", "empty source",
    ],
)  # fmt: skip
def test_other_words_are_not_quoted(text: str, source: str) -> None:
    assert not is_quoted(text, source)


@given(WORDS, WORDS, WORDS)
def test_a_run_of_words_is_quoted_however_it_is_spaced(before: list[str], run: list[str], after: list[str]) -> None:
    source = " ".join([*before, *run, *after])
    assert is_quoted(" ".join(run), source)
    assert is_quoted("".join(run), source)
    assert is_quoted(" ".join("".join(run)), source)
