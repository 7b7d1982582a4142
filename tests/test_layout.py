"""Text for a terminal: no line breaks inside of a word, and none is too long."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.layout import amount, columns, duration, fit, fit_id, fit_name, fold, table, wrap, wrap_command

from .fuzz import fuzz

TEXTS = st.text(st.sampled_from("ab c\n你é́/"), max_size=60)


@fuzz(300)
@given(TEXTS, st.integers(4, 30))
def test_lines_break_between_words(text: str, width: int) -> None:
    lines = wrap(text, width, "  ")
    assert all(columns(line) <= width or " " not in line.strip() for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())
    words = text.split()
    if "你" not in text:
        assert [word for line in lines for word in line.split()] == words
    assert all(not line or line.startswith("  ") for line in lines[1:])


def test_a_long_word_has_its_own_line() -> None:
    assert wrap("see https://example.com/a_long_address now", 12, " ") == [
        "see",
        " https://example.com/a_long_address",
        " now",
    ]
    assert wrap("a b", None) == ["a b"]
    assert wrap("a\nb", None, "  ") == ["a", "  b"]
    assert wrap("我们在沙发上", 6) == ["我们在", "沙发上"], "a script without spaces"


@fuzz(300)
@given(TEXTS, st.integers(1, 30))
def test_a_text_on_one_line_ends_after_a_word(text: str, width: int) -> None:
    line = fit(text, width)
    assert columns(line) <= max(1, width)
    assert "\n" not in line
    if line.endswith(" …"):
        start = " ".join(text.split())[len(line) - 2 :]
        assert " ".join(text.split()).startswith(line[:-2])
        assert start[:1] == " " or columns(start[0]) == 2 or columns(line[-3]) == 2


def test_paths_and_names_are_shortened_at_their_parts() -> None:
    assert fit("duplicate of cats/a/b/0001.jpg", 26) == "duplicate of …/b/0001.jpg"
    assert fit("duplicate of cats/a/b/0001.jpg", 20) == "duplicate of …"
    assert fit_id("cats/a/b/0001.jpg", 10) == "…/0001.jpg"
    assert fit_id("0123456789", 6) == "…56789"
    assert fit_id("short", 6) == fit_name("short", 6) == "short"
    assert fit_name("degenerate_instruction.2", 15) == "degenerate_…"
    assert fit_name("degenerateinstruction", 6) == "degen…"
    assert (fit_id("long", None), fit_name("long", None)) == ("long", "long")


def test_folded_texts_say_how_long_they_are() -> None:
    assert fold("a\nb", 2, 80) == ["a", "b"]
    assert fold("one two three\nfour", 1, 8, "x: ") == ["x: one", "… (18 characters)"]
    assert fold("x" * 1000 + "\n" + "y", 1, None)[-1] == "… (1,002 characters)"


def test_a_table_has_long_names_on_their_own_lines() -> None:
    rows = [("ask", "1,000", ""), ("a_very_long_name_of_a_step", "2", "3")]
    assert table(("step", "calls", "rows\ndropped"), rows, 30) == [
        "                          rows",
        "step            calls  dropped",
        "ask             1,000",
        "a_very_long_name_of_a_step",
        "                    2        3",
    ]
    assert table(("step", "calls"), [], 80) == ["step  calls"]
    assert table(("step", "calls"), [("long" * 20, "1")], None)[1].startswith("long" * 20)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.04, "0.0 s"),
        (4.24, "4.2 s"),
        (59.4, "59 s"),
        (59.9, "1 min 0 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (273600, "3 d 4 h"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_amounts() -> None:
    assert [amount(number, "row") for number in (0, 1, 1200)] == ["0 rows", "1 row", "1,200 rows"]


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12), min_size=1, max_size=8),
    st.integers(20, 80),
)
def test_a_command_can_be_pasted(words: list[str], width: int) -> None:
    lines = wrap_command(words, width)
    assert all(line.endswith(" \\") for line in lines[:-1]), "a shell continues these lines"
    assert shlex.split(" ".join(line.removesuffix(" \\") for line in lines[:-1]) + f" {lines[-1]}") == words
    assert wrap_command(words, None) == [f"  {shlex.join(words)}"]
