"""What surrounds an answer: reasoning, end tokens, fences, quotes, emphasis, repetition."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.answer.clean import any_of, final_text, listed, plain_digits, short, unfence, unwrap, verdict_text, words
from mminf.errors import UnusableAnswer

PAIRS = ["**", "__", "``", '""', "''", "“”", "‘’", "「」", "『』", "«»"]
BRACKETS = ["[]", "()", "（）", "【】", "<>", "{}"]
PLAIN = st.text(
    st.characters(categories=["L", "N", "P", "Zs"], exclude_characters="".join([*PAIRS, *BRACKETS, "~"])), min_size=1
)


def test_lists_in_patterns() -> None:
    assert listed("a, b c ,d") == ("a", "b c", "d")
    assert words("a the\n of") == ("a", "the", "of")
    pattern = re.compile(rf"x{any_of('at first, 最初, scores?')}y")
    assert [bool(pattern.fullmatch(text)) for text in ("xat \n firsty", "x最初y", "xscorey", "xscoresy")] == [True] * 4
    assert [bool(pattern.fullmatch(text)) for text in ("xatfirsty", "xat", "最初", "xy")] == [False] * 4


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        pytest.param("  Yes. \n", "Yes.", id="white space"),
        pytest.param("\ufeffYes", "Yes", id="byte order mark"),
        pytest.param("<think>No?</think>\n\nYes", "Yes", id="reasoning"),
        pytest.param("Yes<|im_end|>", "Yes", id="qwen"),
        pytest.param("Yes \n<|im_end|>\n", "Yes", id="spaces around it"),
        pytest.param("Yes</s>", "Yes", id="llama"),
        pytest.param("Yes<eos>", "Yes", id="gemma"),
        pytest.param("Yes<end_of_turn>", "Yes", id="gemma turn"),
        pytest.param("Yes<｜end▁of▁sentence｜>", "Yes", id="deepseek"),
        pytest.param("Yes<|im_end|>\n<|endoftext|></s>", "Yes", id="several"),
        pytest.param("The token <|im_end|> ends a turn.", "The token <|im_end|> ends a turn.", id="token inside"),
        pytest.param("Is a <|b c|>", "Is a <|b c|>", id="not a token"),
        pytest.param("X marks the spot", "X marks the spot", id="letters stay"),
        pytest.param("", "", id="empty"),
    ],
)
def test_the_final_text(text: str, answer: str) -> None:
    assert final_text(text) == answer


def test_reasoning_that_is_cut_off_is_named() -> None:
    with pytest.raises(UnusableAnswer, match="cut off in its reasoning: '<think>Yes, since'"):
        final_text("<think>Yes, since")


@pytest.mark.parametrize(
    ("text", "content"),
    [
        pytest.param("```\nYes\n```", "Yes", id="bare"),
        pytest.param("\n```json\n[1]\n```\n", "[1]", id="language"),
        pytest.param("~~~\nYes\n~~~", "Yes", id="tildes"),
        pytest.param("````\nYes\n````", "Yes", id="four backticks"),
        pytest.param("```\nVITAMIN X```", "VITAMIN X", id="closed on the last line"),
        pytest.param("```\na\n\nb\n```", "a\n\nb", id="several lines"),
        pytest.param("```\nuse `x`\n```", "use `x`", id="backticks inside"),
        pytest.param("```\n```", "", id="empty"),
    ],
)
def test_a_fence_around_the_whole_text_is_removed(text: str, content: str) -> None:
    assert unfence(text) == content


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Yes", id="no fence"),
        pytest.param("Run it:\n```\nls\n```", id="text before"),
        pytest.param("```\nls\n```\nruns it", id="text after"),
        pytest.param("```\nls", id="not closed"),
        pytest.param("```\nls\n~~~", id="closed by another fence"),
        pytest.param("```ls```", id="one line"),
        pytest.param("```ls``` and\nthen ```cd```", id="code in sentences"),
        pytest.param("```ls` lists files\nand `cd```", id="a backtick in the first line"),
        pytest.param("```\nls\n```\nthen\n```\ncd\n```", id="two fences"),
        pytest.param("'''\nls\n'''", id="quotes"),
    ],
)
def test_other_texts_keep_their_fences(text: str) -> None:
    assert unfence(text) == text


@given(
    st.text(st.characters(exclude_characters="`~\r")), st.sampled_from(["```", "~~~"]), st.sampled_from(["", "json"])
)
def test_what_is_fenced_is_unfenced_again(text: str, fence: str, language: str) -> None:
    assert unfence(f"{fence}{language}\n{text}\n{fence}") == text.strip()


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        pytest.param(" **4** ", "4", id="bold"),
        pytest.param('**"Yes."**', "Yes.", id="nested"),
        pytest.param("“ Yes ”", "Yes", id="spaces inside"),
        pytest.param("「是」", "是", id="Chinese quotes"),
        pytest.param('"Yes" or "No"', '"Yes" or "No"', id="two quotations"),
        pytest.param("**Yes** and **No**", "**Yes** and **No**", id="two emphases"),
        pytest.param('Say "Yes"', 'Say "Yes"', id="only at the end"),
        pytest.param("'tis red", "'tis red", id="only at the start"),
        pytest.param('""', '""', id="nothing inside"),
        pytest.param('"', '"', id="one mark"),
        pytest.param("[Yes]", "[Yes]", id="brackets"),
    ],
)
def test_quotes_and_emphasis_are_removed(text: str, inner: str) -> None:
    assert unwrap(text) == inner


def test_brackets_are_removed_where_they_are_not_content() -> None:
    assert unwrap("[(Yes)]", brackets=True) == "Yes"
    assert unwrap("**[Yes]**") == "[Yes]"
    assert unwrap("(a) or (b)", brackets=True) == "(a) or (b)"


@given(PLAIN.filter(str.strip), st.lists(st.sampled_from([*PAIRS, *BRACKETS]), max_size=3, unique=True))
def test_what_is_wrapped_is_unwrapped_again(text: str, pairs: list[str]) -> None:
    wrapped = text
    for first, last in pairs:
        wrapped = f"{first}{wrapped}{last}"
    assert unwrap(wrapped, brackets=True) == text.strip()
    assert unwrap(unwrap(wrapped)) == unwrap(wrapped)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        pytest.param("<answer>Yes</answer>", "Yes", id="wrapper"),
        pytest.param("<think>a</think><VERDICT> No </VERDICT> .", "No .", id="wrapper in capitals"),
        pytest.param("<|begin_of_box|>4<|end_of_box|>", "4", id="box"),
        pytest.param("```\n４／５\n```<|im_end|>", "4/5", id="fence and full width"),
        pytest.param("It  is \t red.\u3000Yes", "It is red. Yes", id="blanks"),
        pytest.param("a\n \n\n\t\nb\n\nc\nd", "a\n\nb\n\nc\nd", id="blank lines"),
        pytest.param("★★★★☆", "★★★★☆", id="few marks"),
        pytest.param("Yes" + "!" * 40, "Yes" + "!" * 9, id="many marks"),
        pytest.param("------------\n4", "-" * 9 + "\n4", id="a rule"),
        pytest.param("4" * 12, "4" * 12, id="digits are no marks"),
    ],
)
def test_the_text_in_which_verdicts_are_searched(text: str, answer: str) -> None:
    assert verdict_text(text) == answer


def test_a_long_answer_is_searched_at_its_start_and_end() -> None:
    said = [f"w{number}" for number in range(1000)]
    answer = verdict_text(" ".join(said))
    start, end = answer.split("\n...\n")
    assert said[: len(start.split())] == start.split()
    assert said[-len(end.split()) :] == end.split()
    assert 1980 < len(start) <= 2000
    assert 1980 < len(end) <= 2000
    whole = "ab " * 1333 + "c"
    assert len(whole) == 4000
    assert verdict_text(whole) == whole


@pytest.mark.parametrize(
    ("text", "plain"), [("２／５", "2/5"), ("Ａ：ｂ", "A:b"), ("2/5", "2/5"), ("是，对。", "是,对。"), ("②", "2")]
)  # fmt: skip
def test_digits_letters_and_marks_of_full_width(text: str, plain: str) -> None:
    assert plain_digits(text) == plain


def test_texts_are_shortened_for_messages() -> None:
    assert short(" The cup\n\n is   red. ") == "'The cup is red.'"
    assert short("a" * 80) == repr("a" * 80)
    assert short("a" * 81) == repr("a" * 79 + "…")
    assert short("abcdef", limit=4) == "'abc…'"
    assert short("It's") == '"It\'s"'


@given(st.text(), st.integers(2, 100))
def test_a_shortened_text_is_one_line_of_at_most_the_limit(text: str, limit: int) -> None:
    assert "\n" not in short(text, limit)
    assert len(" ".join(text.split())) <= limit or "…" in short(text, limit)
