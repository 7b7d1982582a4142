"""The comparison of answers with solutions: what counts as the same letter, number and text."""

from __future__ import annotations

import time
import unicodedata
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mminf_plugins.verifiable import MatchAnswer, Solution, final_answer, is_right, kind_of, same_answer
from mminf_plugins.verifiable.answers import normalise_text, read_letter, read_options
from mminf_plugins.verifiable.numbers import read_number, same_number

from mminf.step import Drop, RecordError
from mminf.testing import run_step


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1,234", "1234"), ("1 234 567", "1234567"), ("1\u202f234", "1234"), ("1,234.50", "1234.5"), ("1,5", "1.5"),
        ("3.0", "3"), ("+3", "3"), ("−3", "-3"), ("３", "3"), (".5", "0.5"), ("5.", "5"), ("007", "7"),
        ("3/4", "0.75"), ("3/4", "6/8"), ("½", "0.5"), ("2½", "2.5"), ("1 1/2", "1.5"), (r"\frac{3}{4}", "0.75"),
        (r"$\frac{1}{2}$".strip("$"), "50%"),
        ("25%", "25 %"), ("25%", "25"), ("25%", "0.25"), ("25 percent", "25%"), (r"25\%", "25%"),
        ("5 km", "5"), ("5km", "5 kilometers"), ("5 km", "5000 m"), ("1 m", "100 cm"), ("2 hours", "120 minutes"),
        ("$5", "5 dollars"), ("$1,200.00", "1200"), ("-$5", "$-5"), ("20 °C", "20 degrees Celsius"), ("90°", "90 degrees"),
        ("three", "3"), ("Twenty-one", "21"), ("三", "3"), ("两个", "2"), ("5万", "50,000"),
        ("3 million", "3,000,000"), ("$2 billion", "2000000000"), ("5k", "5000"),
        ("12 apples", "12"), ("12 red apples", "12 apples"), ("3rd", "3"), ("**12**", "12"),
    ],
)  # fmt: skip
def test_the_same_number(one: str, other: str) -> None:
    assert same_answer(one, other, "number")
    assert same_answer(other, one, "number")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("12", "13"), ("3.5", "35"), ("1,5", "15"), ("-5", "5"), ("3/4", "4/3"), ("1.234", "1234"), ("5 km", "5 m"),
        ("20 °C", "20 °F"), ("$5", "5 €"), ("25%", "2.5"), ("5 million", "5"), ("2 cats", "2 dogs"), ("10²", "102"),
        ("5", "five or six"), ("5", "5-10"), ("5", "5 or 6"), ("5", "5, 6"), ("5", "about 5"), ("5", "5 to 6"), ("5", "5/0"),
        ("12", "1 2"), ("12:30", "12"), ("3", "3D"), ("5", "5 5"), ("5", "not 5"), ("5", ""), ("5", "5 / 6 / 7"),
        ("5", "5x6"), ("5", "x"), ("10", "十一"), ("100", "1e2"), ("5", "5%%"), ("0", "-"),
    ],
)  # fmt: skip
def test_other_numbers(one: str, other: str) -> None:
    assert not same_answer(one, other, "number")
    assert not same_answer(other, one, "number")


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"), ("b", "B"), ("(b)", "B"), ("B.", "B"), ("B)", "B"), ("**B**", "B"), ("Ｂ", "B"), ("[B]", "B"), ("B. Paris", "B"),
        ("(B) Paris", "B"), ("B: Paris", "B"), ("Option B", "B"), ("B. Vitamin C", "B"), ("B. Vitamin C.", "B"), ("选项B", "B"), ("B、巴黎", "B"),
        ("A cat", None), ("I think so", None), ("A, B", None), ("A and B", None), ("A or B", None), ("A. B", None), ("A/B", None),
        ("A. x B. y", None), ("(A) x (B) y", None), ("AB", None), ("K", None), ("", None), ("Paris", None), ("not B", None), ("B?", None),
    ],
)  # fmt: skip
def test_the_letter_of_a_choice(answer: str, letter: str | None) -> None:
    assert read_letter(answer) == letter
    assert same_answer(answer, "B", "choice") is (letter == "B")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("OPEN", "open"), ("The Red Car.", "red car"), ("“exit”", "Exit!"), ("T-shirt", "t shirt"), ("U.S.A.", "USA"), ("don't", "dont"),
        ("ﬁne", "fine"), ("Ｅｘｉｔ", "exit"), ("出口。", "出口"), ("a  dog", "dog"), ("STRASSE", "straße"), ("café", "cafe\u0301"), ("**red**", "red"),
    ],
)  # fmt: skip
def test_the_same_text(one: str, other: str) -> None:
    assert same_answer(one, other, "text")
    assert same_answer(other, one, "text")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("red", "red or blue"), ("red", "dark red"), ("C", "C++"), ("C", "C#"), ("3.5", "35"), ("-5", "5"), ("12:30", "1230"),
        ("1/2", "12"), ("+", "-"), ("?", "!"), ("cafe", "café"), ("", ""), (" ", " "), ("2020-2021", "20202021"), ("$5", "5"), ("a.b", "ab c"),
    ],
)  # fmt: skip
def test_other_texts(one: str, other: str) -> None:
    assert not same_answer(one, other, "text")


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("<answer>B</answer>", "B"), ("I look.\n<answer> 12 km </answer>", "12 km"), ("<ANSWER>B</ANSWER>", "B"),
        ("<think>It is A. <answer>A</answer></think>\n<answer>B</answer>", "B"), ("It is A.</think>B", "B"),
        ("<answer>B</answer> That is, <answer>(b)</answer>", "(b)"), ("<answer>The answer is **B**.</answer>", "B"),
        (r"So \boxed{\frac{3}{4}}.", r"\frac{3}{4}"), (r"\boxed{\text{red}}", "red"), ("I count.\n\nAnswer: 12", "12"),
        ("I count.\n**The final answer is 12.**", "12"), ("答案：B", "B"), ("So the answer is B", "B"), ("B. Paris.", "B. Paris"),
        ("U.S.A.", "U.S.A."), ("<answer>B</answer><|im_end|>", "B"), ("<answer></answer>", ""),
        ("", None), ("<answer>B", None), ("I think.\n<answer>B", None), ("<answer>A</answer> or <answer>B</answer>", None),
        (r"\boxed{A} \boxed{B}", None), ("<think>The answer is B", None), ("It is red.\nIt is also blue.", None),
        ("The answer is B.\nBut it could be A.", None), ("a word " * 20, None),
    ],
)  # fmt: skip
def test_the_final_answer_of_a_completion(completion: str, answer: str | None) -> None:
    assert final_answer(completion) == answer


@pytest.mark.parametrize(
    ("solution", "kind"),
    [
        ("B", "choice"), ("(b)", "text"), ("(B)", "choice"), ("12", "number"), ("5 km", "number"), ("three", "number"), ("12 apples", "number"),
        ("One Way", "text"), ("J. Smith", "text"), ("red", "text"), ("12:30", "text"), ("3D", "text"), ("K", "text"),
    ],
)  # fmt: skip
def test_the_kind_of_a_solution(solution: str, kind: str) -> None:
    assert kind_of(solution) == kind


def test_options_are_in_order_and_on_separate_lines() -> None:
    assert read_options("Which?\nA. red\n(B) blue\nC) x") == {"A": "red", "B": "blue", "C": "x"}
    assert read_options("Which? A. red B. blue") == {}
    assert read_options("Which?\nA. red\nC. blue") == {}


texts = st.text(max_size=40)
answers = st.one_of(
    texts,
    st.from_regex(r"[-+]?\$?\d{1,4}([.,]\d{1,3})?(/\d)? ?(%|km|m|apples)?", fullmatch=True),
    st.from_regex(r"\(?[A-Ja-j][).:]? ?(red|blue)?", fullmatch=True),
)
kinds = st.sampled_from([None, "choice", "number", "text"])


@given(answers, answers, kinds)
def test_no_text_is_an_error(one: str, other: str, kind: str | None) -> None:
    assert isinstance(is_right(one, other, kind), bool)
    if kind is not None:
        assert same_answer(one, other, kind) == same_answer(other, one, kind)


@given(answers)
def test_a_solution_that_can_be_read_is_right(solution: str) -> None:
    kind = kind_of(solution)
    assert same_answer(solution, solution, kind) is (normalise_text(solution) != "")
    if final_answer(solution) == solution and solution and "answer>" not in solution.casefold():
        assert is_right(f"So it is.\n<answer>{solution}</answer>", solution, kind)


@given(texts)
def test_normalised_text_stays_as_it_is(text: str) -> None:
    once = normalise_text(text)
    assert normalise_text(once) == once
    assert once == once.casefold()


@given(st.lists(st.sampled_from(["red", "Paris", "café", "ten", "42", "b"]), min_size=1, max_size=4), st.randoms())
def test_case_spaces_and_punctuation_do_not_matter(words: list[str], random: object) -> None:
    plain = " ".join(words)
    dressed = f'  "The {"  ".join(words).upper()}." '
    assert same_answer(dressed, plain, "text")
    assert not same_answer(f"{dressed} x", plain, "text")


numbers = st.fractions(min_value=-(10**9), max_value=10**9, max_denominator=1000)


@given(st.integers(-(10**12), 10**12))
def test_separators_do_not_change_a_number(value: int) -> None:
    spelled = [
        str(value),
        f"{value:,}",
        f"{value:,}".replace(",", "\u202f"),
        f"{value}.0",
        f"**{value:,}**",
        f" {value}. ",
    ]
    for text in spelled:
        found = read_number(text)
        assert found is not None, text
        assert found.value == value, text


@given(numbers)
def test_fractions_are_read_exactly(value: Fraction) -> None:
    text = f"{value.numerator}/{value.denominator}"
    found = read_number(text)
    assert found is not None
    assert found.value == value


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(["", " km", "%", " apples", " million"]))
def test_numbers_with_the_same_unit_are_equal_only_if_their_values_are(one: int, other: int, unit: str) -> None:
    first, second = read_number(f"{one:,}{unit}"), read_number(f"{other}{unit}")
    assert first is not None
    assert second is not None
    assert same_number(first, second) is (one == other)


@given(st.integers(0, 999), st.integers(0, 999))
def test_two_numbers_are_no_number(one: int, other: int) -> None:
    for between in (" or ", " and ", "-", ", ", " to ", "; ", ":", " 或 "):
        assert read_number(f"{one}{between}{other}") is None


@given(
    st.sampled_from("ABCDEFGHIJ"),
    st.sampled_from("ABCDEFGHIJ"),
    st.sampled_from(["{}", "({})", "{}.", "{}) red", "Option {}"]),
)
def test_letters_are_equal_only_if_they_are_the_same(one: str, other: str, form: str) -> None:
    assert same_answer(form.format(one), other, "choice") is (one == other)
    assert same_answer(form.format(one).swapcase(), other, "choice") is (one == other)


@given(st.text(alphabet=st.characters(categories=["Nd"]), min_size=1, max_size=6))
def test_digits_of_all_scripts_are_read_or_refused(text: str) -> None:
    found = read_number(text)
    if found is not None:
        assert found.value == int("".join(str(unicodedata.digit(char)) for char in text))


def test_long_texts_are_read_in_linear_time() -> None:
    began = time.process_time()
    for part in ("<answer>", "</answer>", r"\boxed{", "{", "A. ", "1,", " ", "answer is ", "(", "1/", "'"):
        is_right(part * 20_000, "B")
        same_answer(part * 20_000, "B", "choice")
        same_answer(part * 20_000, "12", "number")
    assert time.process_time() - began < 10, "it takes less than a second, or minutes if the time is quadratic"


def test_an_answer_that_can_not_be_read_is_wrong() -> None:
    fields = {"answer": "", "solution": "3"}
    assert run_step(MatchAnswer, {}, fields) == {"right": False}
    assert run_step(MatchAnswer, {}, {**fields, "answer": "3"}) == {"right": True}
    assert run_step(MatchAnswer, {"tags_only": True}, {**fields, "answer": "3"}) == {"right": False}
    assert run_step(MatchAnswer, {}, {**fields, "answer": "3 cm", "kind": "text"}) == {"right": False}


def test_a_solution_gets_its_kind() -> None:
    assert run_step(Solution, {}, {"instruction": "How many?", "solution": "Answer: 3."}) == {
        "solution": "3",
        "kind": "number",
    }
    fields = {"instruction": "Which?\nA. red\nB. blue", "solution": "red"}
    assert run_step(Solution, {}, fields) == {"solution": "A", "kind": "choice"}
    # "B" is the text of the first option, and the letter of the second.
    ambiguous = run_step(Solution, {}, {"instruction": "Which?\nA. b\nB. c", "solution": "B"})
    assert isinstance(ambiguous, Drop)
    with pytest.raises(RecordError, match="not one of choice, number, text"):
        run_step(Solution, {}, {**fields, "kind": "letter"})


@pytest.mark.parametrize("words", [2, 6])
def test_the_length_of_a_text_is_an_option(words: int) -> None:
    given = {"instruction": "What?", "solution": "red cup on the table"}
    assert isinstance(run_step(Solution, {"max_words": words}, given), Drop) is (words == 2)


@pytest.mark.parametrize("value", [None, True, ["3"], [], {"a": 3}])
@pytest.mark.parametrize("name", ["solution", "instruction"])
def test_values_that_are_no_texts_are_no_solutions(name: str, value: object) -> None:
    fields = {"instruction": "How many?", "solution": "3", name: value}
    with pytest.raises(RecordError, match=f"field '{name}' is .*, not a text"):
        run_step(Solution, {}, fields)


def test_names_with_initials_are_no_options() -> None:
    fields = {"instruction": "Who wrote to A. Smith and B. Jones?", "solution": "Mary"}
    assert run_step(Solution, {}, fields) == {"solution": "Mary", "kind": "text"}


@pytest.mark.parametrize(
    "options", ["A. red B. blue", "(A) red (B) blue", "A) red, B) blue", "A. red; B. blue", "A：red， B：blue"]
)
@pytest.mark.parametrize(("given", "kind"), [("B", {}), ("(b)", {"kind": "choice"}), ("B. blue", {"kind": "choice"}), ("blue", {"kind": "choice"})])  # fmt: skip
def test_options_on_one_line(options: str, given: str, kind: dict[str, str]) -> None:
    fields = {"instruction": f"What is the colour of the cup? {options}", "solution": given, **kind}
    assert run_step(Solution, {}, fields) == {"solution": "B", "kind": "choice"}


@pytest.mark.parametrize("options", ["A. red C. blue", "B. red C. blue", "A. red B. Red", "A. red"])
def test_options_on_one_line_that_are_not_clear(options: str) -> None:
    fields = {"instruction": f"What is the colour of the cup? {options}", "solution": "B"}
    assert isinstance(run_step(Solution, {}, fields), Drop)
