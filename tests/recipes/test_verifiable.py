"""Verifiable questions: which questions and solutions become rows, made from images and read from rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ..conftest import ROOT
from .conftest import Play, Played

Pictures = Callable[..., list[str]]

CHOICE = "What is the colour of the cup?\nA. red\nB. blue\nC. green\nD. white"
QUESTIONS = {
    "choice": (CHOICE, "B"),
    "number": ("How many cups are on the table?", "3"),
    "text": ("Which word is on the sign?", "OPEN"),
}
FORM = "<question>{}</question>\n<answer>{}</answer>"
RIGHT = "I look at the image.\n<answer>{}</answer>"
WRONG = "I look at the image.\n<answer>nothing like it</answer>"
# `questions` has the answer to each request for a question, and `answers` those to the question, by kind and in order.
VERIFIABLE = """
from mminf.backend import Generation

def truncate(said):
    return Generation(said[1], "length", 1, 1) if isinstance(said, tuple) else said

if "Write a question about the image" in text:
    kind = "choice" if "multiple choice" in text else "number" if "in digits" in text else "text"
    return truncate(questions[kind])
assert "between <answer> and </answer>" in text
kind = next(kind for kind, item in answers.items() if item[0] in text)
taken = globals().setdefault("taken", {}).setdefault(text, {})
number = taken.setdefault(request.seed, len(taken))
said = answers[kind][1]
return truncate(said[number % len(said)])
"""


def play_questions(
    play: Play,
    pictures: Pictures,
    questions: dict[str, Any] | None = None,
    answers: dict[str, list[Any]] | None = None,
    **settings: Any,
) -> Played:
    """Plays the recipe over an image; each question gets as many answers as are given here."""
    rows = [{"id": "x", "images": pictures("cup")}]
    return play("verifiable", rows, reply_with(questions or {}, answers or {}), **settings)


def reply_with(questions: dict[str, Any], answers: dict[str, list[Any]]) -> str:
    """Returns the model of a play, which asks and answers as in `QUESTIONS` unless it is told otherwise."""
    asked = {kind: FORM.format(*pair) for kind, pair in QUESTIONS.items()} | questions
    given = {kind: [RIGHT.format(solution)] for kind, (_, solution) in QUESTIONS.items()} | answers
    known = {kind: (question, given[kind]) for kind, (question, _) in QUESTIONS.items()}
    return f"questions, answers = {asked!r}, {known!r}\n{VERIFIABLE}"


def solutions(found: Played) -> dict[str, str]:
    return {row["kind"]: row["solution"] for row in found.rows["verifiable.jsonl"]}


def test_rows_end_with_the_user_and_have_a_solution(play: Play, pictures: Pictures) -> None:
    found = play_questions(play, pictures)
    assert not found.failed
    rows = found.rows["verifiable.jsonl"]
    assert [row["id"] for row in rows] == ["x/0", "x/1", "x/2"]
    for row in rows:
        question, solution = QUESTIONS[row["kind"]]
        assert row["messages"] == [{"role": "user", "content": f"<image>{question}"}]
        assert (row["solution"], row["agreement"]) == (solution, 1)
        assert len(row["images"]) == 1


def test_the_answers_are_drawn_without_the_solution(play: Play, pictures: Pictures) -> None:
    found = play_questions(play, pictures)
    drawn = found.asked("between <answer> and </answer>")
    assert len(drawn) == 24
    assert all(prompt.rstrip().endswith(tuple(question for question, _ in QUESTIONS.values())) for prompt in drawn)


@pytest.mark.parametrize(
    ("right", "kept"), [(8, True), (6, True), (5, False), (1, False), (0, False)], ids=["8", "6", "5", "1", "0"]
)
def test_a_solution_is_trusted_if_enough_answers_agree(play: Play, pictures: Pictures, right: int, kept: bool) -> None:
    drawn = [RIGHT.format(3)] * right + [WRONG] * (8 - right)
    found = play_questions(play, pictures, answers={"number": drawn})
    assert ("number" in solutions(found)) is kept
    assert kept or found.dropped["x/1"][0] == "trusted"


def test_the_share_and_the_number_of_answers_are_options(play: Play, pictures: Pictures) -> None:
    drawn = [RIGHT.format(3), RIGHT.format(3), WRONG, WRONG]
    settings = {"steps.draws.fields.answers": "range(4) | list", "steps.trusted.expression": "agreement >= 0.5"}
    found = play_questions(play, pictures, answers={"number": drawn}, **settings)
    assert next(row["agreement"] for row in found.rows["verifiable.jsonl"] if row["kind"] == "number") == 0.5
    assert len(found.asked("between <answer> and </answer>")) == 12


def test_only_an_option_drops_what_is_always_answered_right(play: Play, pictures: Pictures) -> None:
    drawn = [RIGHT.format(3)] * 7 + [WRONG]
    found = play_questions(play, pictures, answers={"number": drawn}, profile="hard")
    assert solutions(found) == {"number": "3"}
    assert {step for step, _ in found.dropped.values()} == {"not_trivial"}


BAD_ANSWERS = {
    "empty": "",
    "truncated": ("cut", "The cups are on the left and on the right, and I count"),
    "truncated in the tag": ("cut", "I count.\n<answer>3"),
    "no tags": "3",
    "refused": "I'm sorry, but I can't help with that.",
    "another language": "<answer>三个杯子 或者 四个</answer>",
    "echo of the question": QUESTIONS["number"][0],
    "echo of the prompt": "Then write the final answer between <answer> and </answer>: only the letter",
    "two answers": "<answer>3</answer> or <answer>4</answer>",
    "a range": "<answer>3-4</answer>",
    "a choice": "<answer>3 or 4</answer>",
    "unclosed reasoning": "<think>I count. <answer>3</answer>",
}


@pytest.mark.parametrize("bad", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_bad_answers_do_not_agree(play: Play, pictures: Pictures, bad: Any) -> None:
    """They count as answers that disagree: five right answers of five readable ones would be trusted."""
    found = play_questions(play, pictures, answers={"number": [RIGHT.format(3)] * 5 + [bad] * 3})
    assert "number" not in solutions(found)
    assert found.dropped["x/1"][1] == "agreement 0.625 < 0.75"
    assert len(found.asked("between <answer> and </answer>:")) == 24, "they are not drawn again"


BAD_QUESTIONS = {
    "empty": "",
    "truncated": ("cut", FORM.format("How many cups are on the table?", 3)),
    "no answer": "<question>How many cups are on the table?</question>",
    "empty answer": FORM.format("How many cups are on the table?", ""),
    "refused": "I'm sorry, but I can't help with that.",
    "refused in the tags": FORM.format("I'm sorry, but I can't write a question about this image.", 3),
    "echo of the form": FORM.format("the question", "the answer"),
    "placeholders": FORM.format("...", "..."),
    "Chinese": FORM.format("桌子上有几个杯子？", 3),
    "French": FORM.format("Combien de tasses sont sur la table dans la cuisine ?", 3),
    "a loop": FORM.format("How many cups are on the table? " * 15, 3),
    "special tokens": FORM.format("<|im_start|>How many cups are there?", 3),
}


@pytest.mark.parametrize("bad", BAD_QUESTIONS.values(), ids=BAD_QUESTIONS)
def test_bad_questions_are_no_rows(play: Play, pictures: Pictures, bad: Any) -> None:
    found = play_questions(play, pictures, questions=dict.fromkeys(QUESTIONS, bad))
    assert found.rows["verifiable.jsonl"] == []
    assert set(found.failed) | set(found.dropped) == {"x/0", "x/1", "x/2"}
    assert not found.asked("between <answer> and </answer>")


def test_an_echo_of_the_prompt_is_no_question(play: Play, pictures: Pictures) -> None:
    reply = f"answers = {{}}\n{VERIFIABLE}".replace("truncate(questions[kind])", "text")
    found = play("verifiable", [{"id": "x", "images": pictures("cup")}], reply)
    assert found.rows["verifiable.jsonl"] == []
    assert set(found.failed) == {"x/0", "x/1", "x/2"}


BAD_SOLUTIONS = {
    "choice": ["E", "red or blue", "yellow", "A and B", "the first one"],
    "number": ["many", "about 3", "3-4", "3 or 4", "unknown"],
    "text": ["It says that the shop is open today", "not visible", "Unknown.", "can't tell"],
}


@pytest.mark.parametrize(("kind", "bad"), [(kind, bad) for kind, items in BAD_SOLUTIONS.items() for bad in items])
def test_solutions_that_can_not_be_verified_are_dropped(play: Play, pictures: Pictures, kind: str, bad: str) -> None:
    asked = {kind: FORM.format(QUESTIONS[kind][0], bad)}
    found = play_questions(play, pictures, questions=asked, answers={kind: [RIGHT.format(bad)]})
    assert set(solutions(found)) == set(QUESTIONS) - {kind}
    assert {step for step, _ in found.dropped.values()} == {"solution"}


@pytest.mark.parametrize(
    "question",
    [
        "What is the colour of the cup?",
        "What is the colour of the cup? A. red C. blue",
        "What is the colour of the cup? A. red B. red",
        "What is the colour of the cup?\nA. red\nC. blue",
        "What is the colour of the cup?\nA. red\nB. Red",
        "What is the colour of the cup?\nB. blue",
    ],
)
def test_a_choice_needs_different_options(play: Play, pictures: Pictures, question: str) -> None:
    found = play_questions(play, pictures, questions={"choice": FORM.format(question, "B")})
    assert "choice" not in solutions(found)
    assert found.dropped["x/0"][0] == "solution"


@pytest.mark.parametrize("given", ["B", "(b)", "B. blue", "blue", "Blue."])
def test_the_solution_of_a_choice_is_its_letter(play: Play, pictures: Pictures, given: str) -> None:
    found = play_questions(play, pictures, questions={"choice": FORM.format(CHOICE, given)})
    assert solutions(found)["choice"] == "B"


GOLD = """
from mminf.backend import Generation
taken = globals().setdefault("taken", {}).setdefault(text, {})
number = taken.setdefault(request.seed, len(taken))
return next(said[number % len(said)] for question, said in answers.items() if question in text)
"""


def play_gold(play: Play, rows: list[dict[str, Any]], answers: dict[str, list[str]], **settings: Any) -> Played:
    return play("verifiable_gold", rows, f"answers = {answers!r}\n{GOLD}", **settings)


def test_rows_with_known_solutions(play: Play, pictures: Pictures) -> None:
    image = pictures("cup")
    rows: list[dict[str, Any]] = [
        {"id": "choice", "images": image, "instruction": CHOICE, "solution": "blue"},
        {"id": "number", "images": image, "instruction": "How long is <image> it?", "solution": "5 cm"},
        {
            "id": "text",
            "instruction": "Which word means OPEN?",
            "solution": "the Door.",
            "messages": [{"role": "user"}],
        },
        {"id": "kind", "instruction": "Which street?", "solution": "42", "kind": "text"},
        {"id": "long", "instruction": "Why is it so?", "solution": "Because the shop opens late in the morning."},
        {"id": "none", "instruction": "Who is it?", "solution": "unknown"},
        {"id": "empty", "instruction": "What?", "solution": ""},
        {"id": "blank", "instruction": " ", "solution": "3"},
    ]
    said = {"colour": ["<answer>(B) blue</answer>"], "How long": ["<answer>50 mm</answer>"], "Which": [WRONG]}
    said["Which word"] = [WRONG] * 7 + ["<answer>Door</answer>"]
    answers = {key: said[key] for key in ("colour", "How long", "Which word", "Which")}
    found = play_gold(play, rows, answers)
    assert not found.failed
    written = {row["id"]: row for row in found.rows["verifiable.jsonl"]}
    assert {name: (row["solution"], row["kind"], row["agreement"]) for name, row in written.items()} == {
        "choice": ("B", "choice", 1),
        "number": ("5 cm", "number", 1),
        "text": ("the Door", "text", 0.125),
    }
    assert written["number"]["messages"] == [{"role": "user", "content": "How long is <image> it?"}]
    assert written["text"]["messages"] == [{"role": "user", "content": "Which word means OPEN?"}]
    steps = {name: step for name, (step, _) in found.dropped.items()}
    assert steps == {
        "kind": "solved",
        "long": "solution",
        "none": "solution",
        "empty": "solution",
        "blank": "not_empty",
    }


def test_known_solutions_can_be_written_without_a_model(play: Play) -> None:
    rows = [
        {"id": "a", "instruction": "How many?", "solution": "3"},
        {"id": "b", "instruction": "?", "solution": "..."},
    ]
    found = play_gold(play, rows, {}, profile="unchecked")
    assert not found.calls
    (row,) = found.rows["verifiable.jsonl"]
    assert row == {
        "id": "a",
        "messages": [{"role": "user", "content": "How many?"}],
        "solution": "3",
        "kind": "number",
    }


def test_hard_questions_are_those_that_are_answered_sometimes(play: Play) -> None:
    rows = [{"id": name, "instruction": f"How many {name}?", "solution": "3"} for name in ("always", "never", "mostly")]
    answers = {"always": [RIGHT.format(3)], "never": [WRONG], "mostly": [RIGHT.format(3), WRONG]}
    found = play_gold(play, rows, answers, profile="hard")
    assert [(row["id"], row["agreement"]) for row in found.rows["verifiable.jsonl"]] == [("mostly", 0.5)]


@pytest.mark.parametrize("bad", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_a_known_solution_that_no_readable_answer_confirms_is_no_row(play: Play, bad: Any) -> None:
    reply = GOLD.replace("return next", "said = next").rstrip()
    reply += '\nreturn Generation(said[1], "length", 1, 1) if isinstance(said, tuple) else said\n'
    question = QUESTIONS["number"][0]
    rows = [{"id": "x", "instruction": question, "solution": "3"}]
    found = play("verifiable_gold", rows, f"answers = {{{question!r}: {[bad]!r}}}\n{reply}")
    assert found.rows["verifiable.jsonl"] == []
    assert found.dropped["x"][0] == "solved"


def test_an_unknown_kind_fails_its_row(play: Play) -> None:
    found = play_gold(play, [{"id": "x", "instruction": "How?", "solution": "3", "kind": "float"}], {})
    assert "field 'kind' is 'float', not one of choice, number, text" in found.failed["x"]


def test_the_system_turn_of_the_docs_is_that_of_the_recipe() -> None:
    """The shares of right answers in the rows are those of the model at the start of the training."""
    template = (ROOT / "templates/verifiable/answer.jinja").read_text()
    system = " ".join(template.split("}}")[1].split("{{")[0].split())
    assert f"--system '{system}'" in (ROOT / "docs/verifiable.md").read_text()
