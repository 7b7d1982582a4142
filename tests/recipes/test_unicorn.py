"""Unicorn's captions and conversations."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mminf_plugins.unicorn.pairs import read_pairs
from mminf_plugins.unicorn.stats import text_stats

from mminf.errors import UnusableAnswer

from .conftest import Play


def pair(n: int, **more: Any) -> dict[str, Any]:
    return {"Question": f"What is {n}?", "Answer": f"It is {n}.", **more}


def choice(n: int, **more: Any) -> dict[str, Any]:
    return {
        "Question": f"Which is {n}?",
        "Options": {"A": "one", "B": "two", "C": "three", "D": "four"},
        "Answer": "B",
        **more,
    }


def text(*pairs: Any) -> str:
    return json.dumps({"id": "1", "QA Pairs": list(pairs)})


def test_pairs_are_read_from_what_models_write() -> None:
    wanted = [("What is 1?", "It is 1."), ("What is 2?", "It is 2.")]
    assert read_pairs(text(pair(1), pair(2))) == wanted
    assert read_pairs("Here you are:\n```json\n" + text(pair(1), pair(2)) + "\n```") == wanted
    assert read_pairs(json.dumps([pair(1), pair(2)])) == wanted
    assert read_pairs(text(pair(1), pair(2)).replace('"}, {', '",}, {').replace("QA Pairs", "qa_pairs")) == wanted
    assert read_pairs(text(pair(1), pair(2), pair(1))) == wanted, "a question comes once"


@pytest.mark.parametrize(
    "answer", ["B", "B.", "(B)", "B: two", "two", "The correct answer is B.", "Answer: B", " b) two".upper()]
)
def test_answers_to_choices_are_bare_letters(answer: str) -> None:
    question, letter = read_pairs(text(choice(1, Answer=answer)), options=True)[0]
    assert question == "Which is 1?\nA: one\nB: two\nC: three\nD: four"
    assert letter == "B"


def test_options_may_be_a_list_or_repeat_their_letters() -> None:
    wanted = read_pairs(text(choice(1)), options=True)
    assert read_pairs(text(choice(1, Options=["B. two", "A. one", "D. four", "C. three"])), options=True) == wanted
    assert read_pairs(text(choice(1, Options=["one", "two", "three", "four"])), options=True) == wanted
    assert (
        read_pairs(
            text(choice(1, Options={"a": "A. one", "b": "B) two", "c": "C: three", "d": "(D) four"})), options=True
        )
        == wanted
    )


@pytest.mark.parametrize(
    ("value", "options"),
    [
        ("I can't do that.", False),
        (text(pair(1, Answer="")), False),
        (text({"Question": "What?"}), False),
        (text("What?"), False),
        (text(choice(1)), False),
        (text(pair(1)), True),
        (text(choice(1, Options={"A": "one", "B": "two", "C": "three"})), True),
        (text(choice(1, Options={"A": "one", "B": "one", "C": "three", "D": "x"})), True),
        (text(choice(1, Answer="five")), True),
        (text(choice(1, Answer="E")), True),
        ('{"QA Pairs": [{"Question": "What is', False),
    ],
)
def test_half_a_pair_is_asked_for_again(value: str, options: bool) -> None:
    with pytest.raises(UnusableAnswer):
        read_pairs(value, options=options)


UNICORN = """
def pairs(options, n=6):
    made = []
    for i in range(n):
        made.append({"Question": f"What is {i} of {seed}?", "Answer": "B" if options else f"Answer {i} of {seed}."})
        if options:
            made[-1]["Options"] = {"A": "one", "B": "two", "C": "three", "D": "four"}
    if "leak" in seed:
        made[0]["Answer"] = "The caption mentions it." if not options else "B"
        made[0]["Question"] += " According to the caption, that is." if options else ""
    return json.dumps({"QA Pairs": made})

if "Short caption:" in text:
    seed = text.rsplit("Short caption: ", 1)[1]
    return "" if "silent" in seed else f"A long caption of {seed} with forms and colours."
seed = text.rsplit("A long caption of ", 1)[1].split(" with forms")[0]
if "cut" in seed and request.seed % 2:
    return pairs(False)[:100]
if "multiple-choice" in text:
    return pairs(True)
return pairs(False, 3 if "problems" in text else 2 if "few" in seed else 8)
"""


def seeds(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "captions.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_conversations_grow_from_seeds_without_images(play: Play, tmp_path: Path) -> None:
    lines = [f"seed {n}" for n in range(100)] + ["", "a leak", "cut short", "silent"]
    found = play(
        "unicorn",
        seeds(tmp_path, *lines),
        UNICORN,
        **{f"steps.{n}.attempts": 20 for n in ("choices", "questions", "reasoning")},
    )
    rows = found.rows["instruct.json"]
    assert len(rows) == len(found.rows["pretrain.json"]) == 102
    assert "answer is empty" in next(iter(found.failed.values()))
    kinds = Counter(row["kind"] for row in rows)
    assert set(kinds) == {"multiple_choice", "question_answering", "complex_reasoning"}
    assert kinds["complex_reasoning"] < 40
    first = []
    for row in rows:
        human = [turn["value"] for turn in row["conversations"][::2]]
        assert sum("<image>" in value for value in human) == ("<image>" in human[0]) == 1
        first.append(human[0].startswith("<image>\n"))
        if row["kind"] == "multiple_choice":
            assert {turn["value"] for turn in row["conversations"][1::2]} <= set("ABCD")
            assert "\nA: one\nB: two\nC: three\nD: four" in human[0]
        assert "image" not in row
    assert 20 < sum(first) < 80, "the image stands before or behind the text"
    leaky = next(row for row in rows if "a leak" in row["caption"])
    assert "caption" not in json.dumps(leaky["conversations"])
    (row,) = [row for row in found.rows["pretrain.json"] if "seed 42 " in row["caption"]]
    assert row["conversations"][1]["value"] == row["caption"] == "A long caption of seed 42 with forms and colours."
    assert row["conversations"][0]["value"].startswith("<image>\n")


def test_too_few_pairs_fail_with_the_reason(play: Play, tmp_path: Path) -> None:
    only = {"steps.kind.values": {"multiple_choice": 0, "complex_reasoning": 0}}
    found = play("unicorn", seeds(tmp_path, "few"), UNICORN, **only)
    assert list(found.failed.values()) == ["questions: 2 pairs, not 6 to 8 (3 attempts)"]


def test_a_letter_counts_as_a_letter_and_a_name_as_a_name() -> None:
    odd = {"A": "B", "B": "A", "C": "AB", "D": "O"}
    assert read_pairs(text(choice(1, Options=odd, Answer="A")), options=True)[0][1] == "A"
    kinds = {"A": "E. coli", "B": "C. elegans", "C": "D. melanogaster", "D": "A. thaliana"}
    question, letter = read_pairs(text(choice(1, Options=kinds, Answer="C. elegans")), options=True)[0]
    assert letter == "B"
    assert "B: C. elegans" in question
    for answer in ("A: three", "A. or B.", "A" + "!" * 20000 + "x"):
        with pytest.raises(UnusableAnswer):
            read_pairs(text(choice(1, Answer=answer)), options=True)


def test_an_option_that_begins_like_a_letter_is_no_letter() -> None:
    options = {"A": "two", "B": "A red cat", "C": "Dogs", "D": "none"}
    assert read_pairs(text(choice(1, Options=options, Answer="A red cat")), options=True)[0][1] == "B"
    with pytest.raises(UnusableAnswer):
        read_pairs(text(choice(1, Options=options, Answer="A blue cat")), options=True)


def test_labels_become_ten_seeds_each(play: Play, tmp_path: Path) -> None:
    found = play(
        "unicorn",
        seeds(tmp_path, "ramen", "pretzel"),
        UNICORN,
        profile="labels",
        **{"source": {"text": {"path": str(tmp_path / "captions.txt"), "field": "label"}}},
    )
    asked = [prompt.rsplit("Short caption: ", 1)[1] for prompt in found.asked("Short caption:")]
    assert len(set(asked)) == len(asked) == 20
    assert sum("ramen" in seed for seed in asked) == 10
    assert not any("<label>" in seed for seed in asked)
    assert len(found.rows["instruct.json"]) == 20


def test_the_numbers_of_the_captions(play: Play, tmp_path: Path) -> None:
    found = play("unicorn", seeds(tmp_path, "one", "two"), UNICORN)
    stats: Any = found.rows["caption_stats.json"]
    assert stats["texts"] == 2
    assert stats["words"] == {"mean": 9, "min": 9, "max": 9}
    assert text_stats("a b a b") == {"words": 4, "ttr": 0.5, "entropy": 1.0}
    assert text_stats("") == {"words": 0, "ttr": 0.0, "entropy": 0.0}
    assert text_stats("一只猫。")["words"] == 3
