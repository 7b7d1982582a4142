"""What a classifier quotes, corrects, adds and leaves out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.answer.ground import coverage, is_quoted, skipped_words, strange_words, tokens

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


@pytest.mark.parametrize(
    ("text", "source", "share"),
    [
        pytest.param("lie boats", SOURCE, 1, id="any order"),
        pytest.param("Which boats lie here", SOURCE, 0.5, id="half of the words"),
        pytest.param(
            "boats, boats, boats", "Two boats and two boats", 2 / 3, id="repeated more often than in the source"
        ),
        pytest.param("港口里有人", "港口里有几条船？", 0.8, id="characters of Chinese"),
        pytest.param("", SOURCE, 1, id="no words"),
        pytest.param("?!", "", 1, id="marks only"),
        pytest.param("boats", "", 0, id="no source"),
        pytest.param("two cars", "two car", 1, id="plural made"),
        pytest.param("two car", "two cars", 1, id="plural removed"),
        pytest.param("as is", "a i", 0, id="short words have no plural"),
        pytest.param("harbour", "the harbuor", 1, id="typo corrected"),
        pytest.param("grays", "greys", 1, id="alike with five letters"),
        pytest.param("gray", "grey", 0, id="not alike with four letters"),
        pytest.param("bloat", "boat", 0, id="not like a word of four letters"),
        pytest.param("harbour", "harvest", 0, id="too different"),
        pytest.param("house", "lighthouse", 0, id="part of a longer word"),
        pytest.param("harbour harbours", "harbuor", 0.5, id="a word stands for one word only"),
        pytest.param("boat boats", "boats", 0.5, id="a plural stands for one word only"),
    ],
)
def test_the_share_of_words_that_are_in_the_source(text: str, source: str, share: float) -> None:
    assert coverage(text, source) == pytest.approx(share)


@pytest.mark.parametrize(
    ("text", "source", "number"),
    [
        pytest.param(ASKED, SOURCE, 0, id="quoted"),
        pytest.param("Please, what is in the harbour here?", SOURCE, 0, id="function words"),
        pytest.param("请数港口里的船", "港口里有几条船？", 1, id="one character of content"),
        pytest.param("How many red boats lie in the old harbour?", SOURCE, 2, id="two adjectives"),
        pytest.param("How many boat lie in the harbuor?", SOURCE, 0, id="typos"),
        pytest.param("boats boats boats", "two boats", 2, id="repeated"),
        pytest.param("harbour harbours", "harbuor", 1, id="typo of one word twice"),
        pytest.param("Not the boats", SOURCE, 1, id="negation"),
        pytest.param("", SOURCE, 0, id="empty"),
    ],
)
def test_words_that_are_not_in_the_source(text: str, source: str, number: int) -> None:
    assert strange_words(text, source) == number


PHRASE = "Count the red boats and the blue boats and " * 30


@pytest.mark.parametrize(
    ("text", "source", "gap"),
    [
        pytest.param("Write the sum", "Write a function that returns the sum", 4, id="object left out"),
        pytest.param("Write a function", "Write a function that returns the sum", 0, id="end left out"),
        pytest.param("the sum", "Write a function that returns the sum", 0, id="start left out"),
        pytest.param(ASKED, ASKED, 0, id="whole"),
        pytest.param("Name the dogs", ASKED, 0, id="one word in common"),
        pytest.param("Why?", "Because", 0, id="nothing in common"),
        pytest.param("", "", 0, id="empty"),
        pytest.param("How boats in harbour?", ASKED, 1, id="small gaps"),
        pytest.param("How boats in port of Hamburg", "How many boats lie here in port near to Hamburg", 2, id="largest gap, not the last"),
        pytest.param("Look at the boats", "Look closely. It is a calm day. Look at the boats", 0, id="repeated start"),
        pytest.param("Look. How many boats?", "Look. It is a calm day! How many boats?", 0, id="a whole sentence left out"),
        pytest.param("Look how many boats", "Look at the sea\nand say how many boats", 0, id="lines are sentences"),
        pytest.param("看港口里有几条船", "看图。水面平静。港口里有几条船？", 0, id="Chinese sentences"),
        pytest.param("港口船", "港口里有几条船？", 4, id="inside a Chinese sentence"),
        pytest.param("Draw metres of rope", "Draw 3.5 metres of rope", 2, id="a decimal point ends no sentence"),
        pytest.param(f"{PHRASE}in the harbour", f"Please {PHRASE}that do not move in the harbour", 4, id="long and repetitive"),
    ],
)  # fmt: skip
def test_the_largest_gap_in_a_sentence(text: str, source: str, gap: int) -> None:
    assert skipped_words(text, source) == gap


TEXTS = st.one_of(st.text(max_size=60), WORDS.map(" ".join))


@given(TEXTS, TEXTS)
def test_laws_of_the_comparison(text: str, source: str) -> None:
    share, strange = coverage(text, source), strange_words(text, source)
    assert 0 <= share <= 1
    assert 0 <= strange <= len(tokens(text))
    assert share < 1 or strange == 0
    assert 0 <= skipped_words(text, source) <= len(tokens(source))


@given(TEXTS, TEXTS)
def test_a_text_is_quoted_from_and_covered_by_a_source_that_begins_with_it(text: str, more: str) -> None:
    source = f"{text}\n{more}"
    assert is_quoted(text, source)
    assert coverage(text, source) == 1
    assert strange_words(text, source) == 0
    assert skipped_words(text, text) == 0
