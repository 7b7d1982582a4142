"""Infinity-MM's synthesis, with a model that tags, asks, answers and judges well and badly."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from mminf.journal import Journal

from ..conftest import ROOT
from .conftest import Play, Played
from .truncation import CUT, truncated

Pictures = Callable[..., list[str]]
__all__ = ["truncated"]

LINES = (ROOT / "templates/infinity_mm/tasks.txt").read_text().splitlines()
TASKS = [[part.strip() for part in line.split("|")] for line in LINES if line and not line.startswith("#")]
GROUPS = {task[1]: task[0] for task in TASKS}
EXAMPLES = {task[1]: task[3:] for task in TASKS}

# The answer to a question contains the type of its task, so that tests can tell turns apart.
MODEL = """
import re
kind = re.search('of the type "(.*?)"|which concerns ([^?]*)[?]', text)
kind = kind and (kind[1] or kind[2])
if "List tags" in text:
    return "- dog\\n- park bench\\n- person"
if "[Begin of Examples]" in text:
    return f"<question>What is to be seen there which concerns {kind}?</question>"
if "Does the question below fit" in text:
    return "Yes"
if "Rate the answer" in text:
    return "[[8]]"
if "Do not explain" in text:
    return f"Two ({kind})"
if "two or three sentences" in text:
    return f"The dog looks at it. It is {kind}."
assert "in detail" in text, text
return f"The dog looks at it, and there are three steps to it. Therefore it is {kind}."
"""


def first(condition: str, said: str) -> str:
    """Returns a model that says something else to the prompts for which a condition is true."""
    head, kind, rest = MODEL.partition("kind = kind and (kind[1] or kind[2])\n")
    return f"{head}{kind}if {condition}:\n    return {said}\n{rest}"


def rejected(found: Played) -> dict[str, list[dict[str, Any]]]:
    """Returns the turns that were left out, by record."""
    with Journal(found.output) as journal:
        rows = journal.outcomes.rows(0, states=("done", "dropped"))
        return {row.id: row.fields.get("rejected", []) for row in rows}


def turns(row: dict[str, Any]) -> list[tuple[str, str]]:
    said = [message["content"] for message in row["messages"]]
    return list(zip(said[::2], said[1::2], strict=True))


@pytest.fixture
def one(play: Play, pictures: Pictures) -> Callable[..., Played]:
    """Runs a model over one image."""
    (image,) = pictures("red")
    return lambda reply, **more: play("infinity_mm", [{"id": "a", "images": [image]}], reply, **more)


def test_the_file_of_task_types_is_complete() -> None:
    assert Counter(task[0] for task in TASKS) == dict.fromkeys(
        ("scene", "object", "text", "relation", "knowledge", "reasoning"), 8
    )
    assert len(GROUPS) == 48
    for group, kind, keywords, *examples in TASKS:
        words = [word.strip() for word in keywords.split(",")]
        assert len(set(words)) == len(words) and keywords == keywords.lower(), (group, kind)
        assert all(words), (group, kind)
        assert len(set(examples)) == len(examples) == 3, kind
        assert all(re.fullmatch(r"[A-Z].*\?", example) for example in examples), kind
    assert len({group for group, _, keywords, *_ in TASKS if "*" in keywords}) >= 3, (
        "an image without tags gets questions"
    )


def test_tags_lead_to_typed_questions_and_one_conversation(play: Play, pictures: Pictures) -> None:
    images = pictures(*(f"p{number}" for number in range(12)))
    found = play("infinity_mm", [{"id": image, "images": [image]} for image in images], MODEL)
    rows = found.rows["infinity_mm.jsonl"]
    assert [row["id"] for row in rows] == images
    known = {"dog", "park", "bench", "person", "park bench"}
    for row in rows:
        assert row["tags"] == ["dog", "park bench", "person"]
        assert len({GROUPS[kind] for kind in row["types"]}) == 3, "types of different groups"
        for kind in row["types"]:
            (keywords,) = (task[2] for task in TASKS if task[1] == kind)
            assert known.intersection(map(str.strip, keywords.split(","))), (kind, "a tag is one of its keywords")
        assert [question.count("<image>") for question, _ in turns(row)] == [1, 0, 0]
        assert row["scores"] == [8, 8, 8]
        for (question, answer), kind, style in zip(turns(row), row["types"], row["styles"], strict=True):
            assert kind in question and kind in answer
            assert ("Two (" in answer, "three steps" in answer) == (style == "short", style == "detailed")
    assert len({kind for row in rows for kind in row["types"]}) > 8, "types are drawn for each image"
    assert {style for row in rows for style in row["styles"]} == {"short", "brief", "detailed"}
    assert len(found.calls) == 12 * (1 + 3 * 4)
    for prompt in found.asked("[Begin of Examples]"):
        kind = re.search('of the type "(.*?)"', prompt)[1]  # type: ignore[index]
        shown = prompt.split("[Begin of Examples]\n")[1].split("\n[End of Examples]")[0].split("\n")
        assert len(set(shown)) == 2 and set(shown) < set(EXAMPLES[kind])


@pytest.mark.parametrize(
    ("tags", "groups"),
    [
        (["Bar chart"], {"text", "reasoning"}),
        ("receipt | paper", {"text", "reasoning"}),
        ("guitar; stage, Guitar", {"knowledge"}),
        (["xyz"], set()),
        ([], set()),
    ],
)
def test_tags_of_a_tagger_can_be_used(play: Play, pictures: Pictures, tags: object, groups: set[str]) -> None:
    row = {"id": "x", "images": pictures("red"), "tags": tags}
    found = play("infinity_mm", [row], MODEL, profile="tagged")
    assert not found.asked("List tags")
    (made,) = found.rows["infinity_mm.jsonl"]
    assert made["tags"] == tags
    assert len(made["types"]) == 3
    assert groups <= {GROUPS[kind] for kind in made["types"]}
    if not groups:
        assert all("*" in task[2] for task in TASKS if task[1] in made["types"]), "types that suit every image"


def test_a_row_without_tags_fails_if_a_tagger_is_expected(play: Play, pictures: Pictures) -> None:
    (image,) = pictures("red")
    rows = [{"id": "x", "images": [image]}, {"id": "y", "images": [image], "tags": "dog"}]
    found = play("infinity_mm", rows, MODEL, profile="tagged")
    assert [row["id"] for row in found.rows["infinity_mm.jsonl"]] == ["y"]
    assert "tags" in found.failed["x"]


@pytest.mark.parametrize(
    "said", ["''", "text", "'dog\\ncat' + '" + CUT + "'", "\"I'm sorry, but I can't assist with that.\"", "'...'"]
)
def test_tags_that_can_not_be_used_fail_the_record(one: Callable[..., Played], said: str) -> None:
    found = one(first('"List tags" in text', said))
    assert found.rows["infinity_mm.jsonl"] == []
    assert found.failed["a"].startswith("tag: ")
    assert len(found.calls) == 3, "no question is asked"


def in_reasoning(part: str, said: str, style: str | None = None) -> str:
    """Returns a model that is bad at the turn about reasoning."""
    head = f"GROUP = {GROUPS!r}\n"
    styled = {"short": "Do not explain", "brief": "two or three sentences", "detailed": "in detail"}
    also = f" and {styled[style]!r} in text" if style else ""
    return head + first(f"{part!r} in text and GROUP[kind] == 'reasoning'{also}", said)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("''", "answer is empty"),
        ("text", "only a placeholder"),
        ("f'<question>What is {kind}' + '" + CUT + "'", "truncated"),
        ("f'<question>What is {kind}?</question>' + '" + CUT + "'", "truncated"),
        ("'What is to be seen there?'", "no <question>"),
        ('"<question>I\'m sorry, but I can\'t assist with that.</question>"', "refuses"),
        ("'<question>' + text.split('[Begin of Examples]')[1].strip().split('\\n')[0] + '</question>'", "repeats first_example"),
        ("'<question>' + text.split('[End of Examples]')[0].strip().split('\\n')[-1] + '</question>'", "repeats second_example"),
        ("f'<question>{kind}?</question>'", "repeats type"),
        ("'<question>' + 'What is it? ' * 30 + '</question>'", "repeats 'what is it'"),
        ("'<question>图中的狗在做什么？</question>'", "in another language"),
        ("'<question>Warum schaut der Hund auf die Bank?</question>'", "in another language"),
        ("'<question>Что делает собака на этой картинке?</question>'", "in another language"),
        ("'<question>What is this? [End of Examples] Which is it?</question>'", "repeats the prompt"),
    ],
)  # fmt: skip
def test_bad_questions_leave_the_conversation(one: Callable[..., Played], said: str, reason: str) -> None:
    found = one(in_reasoning("[Begin of Examples]", said))
    (row,) = found.rows["infinity_mm.jsonl"]
    assert len(row["types"]) == len(turns(row)) == 2
    assert "reasoning" not in {GROUPS[kind] for kind in row["types"]}
    (out,) = rejected(found)["a"]
    assert reason in out["reason"]
    assert "relevant" not in out, "it is neither judged nor answered"


@pytest.mark.parametrize(
    ("style", "said", "reason"),
    [
        (None, "''", "answer is empty"),
        (None, "f'There are {kind}' + '" + CUT + "'", "truncated"),
        (None, '"I\'m sorry, but I can\'t assist with that."', "refuses"),
        (None, "text.split('[Begin of Question]')[1].split('[End')[0].strip()", "repeats instruction"),
        (None, "'There is a dog on the bench. ' * 12", "repeats"),
        (None, "text", "repeats the prompt"),
        ("short", "'两个'", "nothing matches"),
        ("short", "'[Begin of Question] Two'", "repeats the prompt"),
        ("short", "'The dog is on the bench. ' + 'It looks at the people in the park, and then at that tree. ' * 2", "nothing matches"),
        ("brief", "'狗在看那边的人。所以是两个。'", "in another language"),
        ("brief", "'Le chien regarde la rue. Il y en a deux.'", "in another language"),
        ("detailed", "'Der Hund schaut auf die Bank. Es sind also zwei.'", "in another language"),
        ("detailed", "'The dog looks at the bench. 因此答案是两个人在公园里。'", "in another language"),
        ("detailed", "'The dog looks at it.\\n[Begin of Question]\\nWhat is it?'", "repeats the prompt"),
    ],
)  # fmt: skip
def test_bad_answers_leave_the_conversation(
    one: Callable[..., Played], style: str | None, said: str, reason: str
) -> None:
    more = {"steps.style.values": [style]} if style else {}
    found = one(in_reasoning("Answer the question", said, style), **more)
    (row,) = found.rows["infinity_mm.jsonl"]
    assert len(row["types"]) == len(turns(row)) == 2
    assert "reasoning" not in {GROUPS[kind] for kind in row["types"]}
    (out,) = rejected(found)["a"]
    assert reason in out["reason"], out
    assert "quality" not in out, "it is not rated"


@pytest.mark.parametrize(
    ("part", "said", "reason"),
    [
        ("Does the question below fit", "No", "relevant is false"),
        ("Does the question below fit", "**No.** There is no dog.", "relevant is false"),
        ("Does the question below fit", "It may fit.", "neither"),
        ("Does the question below fit", f"Yes{CUT}", "truncated"),
        ("Rate the answer", "[[7]]", "quality 7 < 8"),
        ("Rate the answer", "[[8]] or [[9]]", "no score"),
        ("Rate the answer", "It is good.", "no score"),
        ("Rate the answer", "[[11]]", "no score"),
        ("Rate the answer", "", "no score"),
    ],
)
def test_turns_that_a_judge_rejects_leave_the_conversation(
    one: Callable[..., Played], part: str, said: str, reason: str
) -> None:
    found = one(in_reasoning(part, repr(said)))
    (row,) = found.rows["infinity_mm.jsonl"]
    assert len(turns(row)) == 2
    assert [reason in out["reason"] for out in rejected(found)["a"]] == [True]


@pytest.mark.parametrize(
    ("part", "said", "step"),
    [
        ("[Begin of Examples]", "''", "ask"),
        ("Does the question below fit", "'No'", "fits"),
        ("Answer the question", "text + '" + CUT + "'", "answer"),
        ("Rate the answer", "'[[7]]'", "good"),
    ],
)
def test_an_image_without_a_good_turn_is_dropped(one: Callable[..., Played], part: str, said: str, step: str) -> None:
    found = one(first(f"{part!r} in text", said))
    assert found.rows["infinity_mm.jsonl"] == []
    assert found.dropped["a"][0] == step
    assert len(rejected(found)["a"]) == 3


def test_a_question_is_asked_once_in_a_conversation(one: Callable[..., Played]) -> None:
    found = one(first('"[Begin of Examples]" in text', "'<question>What is this?</question>'"))
    (row,) = found.rows["infinity_mm.jsonl"]
    assert len(turns(row)) == 1


def test_an_unusable_question_is_retried(one: Callable[..., Played]) -> None:
    found = one(
        first('"[Begin of Examples]" in text and request.seed % 2', "'Which one?'"), **{"steps.ask.attempts": 30}
    )
    assert len(turns(found.rows["infinity_mm.jsonl"][0])) == 3


def test_all_styles_make_a_conversation_each(one: Callable[..., Played]) -> None:
    found = one(MODEL, profile="all_styles")
    rows = {row["id"]: row for row in found.rows["infinity_mm.jsonl"]}
    assert list(rows) == ["a/0", "a/1", "a/2"]
    assert [row["styles"] for row in rows.values()] == [[style] * 3 for style in ("short", "brief", "detailed")]
    asked = [[question for question, _ in turns(row)] for row in rows.values()]
    assert asked[0] == asked[1] == asked[2]
    assert len(found.calls) == 1 + 3 * 2 + 9 * 2


def test_a_second_run_makes_no_call_and_writes_the_same(play: Play, pictures: Pictures) -> None:
    rows = [{"id": image, "images": [image]} for image in pictures("red", "blue", "green")]
    reply = first('"Rate the answer" in text and "green" in request.images[0].uri', "'[[2]]'")
    part = play("infinity_mm", rows, reply, limit=1)
    assert len(part.calls) == 13
    rest = play("infinity_mm", rows, reply)
    assert len(rest.calls) == 26, "only the calls of the other two images"
    again = play("infinity_mm", rows, reply)
    assert not again.calls
    assert again.rows == rest.rows
    assert [row["id"] for row in again.rows["infinity_mm.jsonl"]] == ["red.png", "blue.png"]
    stricter = play("infinity_mm", rows, reply, **{"steps.good.expression": "quality >= 9"})
    assert not stricter.calls
    assert stricter.rows["infinity_mm.jsonl"] == []
