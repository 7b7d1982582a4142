"""MMEvol."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable

import pytest

from mminf.answer.score import parse_score
from mminf.errors import UnusableAnswer
from mminf.step.extract import Extraction
from mminf.template import Template

from ..conftest import ROOT
from .conftest import Play

Pictures = Callable[..., list[str]]

MMEVOL = """
def between(name, part="Old Set"):
    return text.rsplit(f"[Begin of {part}]", 1)[1].split(f"[End of {part}]")[0]

if text.endswith("Score:"):
    return "[[0]]" if "blind" in between("", "Set") else "[[8]]"
if "Is the new set an improvement" in text:
    return "No." if "never" in between("", "New Set") else "Yes."
kind = "format" if "in another form" in text else "reasoning" if "takes more steps" in text else "breadth"
pairs = [line.split(": ", 1)[1] for line in between("").strip().splitlines() if line.startswith("Question")]
made = [{"question": f"{q} +{kind}", "skills": ["Counting", "text_reading"], "answer": f"to {q} +{kind}"} for q in pairs]
return "The new set:\\n" + json.dumps(made)
"""


def rows(pictures: Pictures, *names: str, **more: object) -> list[dict[str, object]]:
    images = pictures("red")
    return [
        {"id": name, "images": images, "qa": [{"question": f"{name} one", "answer": "r"}, {"question": f"{name} two", "answer": "s"}], **more}
        for name in names
    ]  # fmt: skip


def test_sets_evolve_in_three_rounds_and_each_new_set_is_a_row(play: Play, pictures: Pictures) -> None:
    items = rows(pictures, *map(str, range(60)), caption="CAP", objects=["a cup: left", "a lamp: right"])
    found = play("mmevol", items, MMEVOL)
    written = {row["id"]: row for row in found.rows["mmevol.jsonl"]}
    assert set(written) == {f"{n}/{number}" for n in range(60) for number in range(3)}
    kinds = Counter(row["kind"] for row in written.values())
    assert 70 < kinds["breadth"] < 110
    assert 25 < kinds["format"] < 65
    evolved = [written[f"7/{number}"] for number in range(3)]
    assert [row["round"] for row in evolved] == [1, 2, 3]
    marks = "".join(f" +{row['kind']}" for row in evolved)
    said = [message["content"] for message in evolved[2]["messages"]]
    assert said[0] == f"<image>7 one{marks}"
    assert said[2] == f"7 two{marks}"
    assert said[1] == f"to 7 one{marks}"
    assert evolved[2]["score"] == 8
    assert evolved[2]["skills"] == [["counting", "text reading"]] * 2, "skills are written as the recipe spells them"
    prompts = found.asked("New set:")
    assert all("[Begin of Caption]\nCAP\n[End of Caption]" in prompt for prompt in prompts)
    assert all("a cup: left\na lamp: right" in prompt for prompt in prompts)
    assert len(found.calls) == 60 * 9


def test_a_set_that_is_not_better_gets_five_more_passes_per_round(play: Play, pictures: Pictures) -> None:
    found = play("mmevol", rows(pictures, "never", "blind", "good"), MMEVOL)
    assert {row["id"].split("/")[0] for row in found.rows["mmevol.jsonl"]} == {"good"}
    assert set(found.dropped) == {"never", "blind"}
    evolve = Counter(re.findall(r"Question 1: (\w+) one", "\n".join(found.asked("New set:"))))
    assert (evolve["never"], evolve["blind"], evolve["good"]) == (18, 18, 3)
    kinds = [
        re.search(r"in another form|takes more steps|does not deal with", prompt) for prompt in found.asked("never one")
    ]
    named = [kind[0] for kind in kinds if kind is not None]
    assert all(len(set(named[start : start + 6])) == 1 for start in (0, 6, 12)), "a round keeps its kind of evolution"


def test_a_question_that_needs_no_image_has_the_score_zero(play: Play, pictures: Pictures) -> None:
    reply = MMEVOL.replace('"[[0]]" if "blind" in between("", "Set")', '"[[0]]" if request.seed % 3 == 0')
    found = play("mmevol", rows(pictures, *"pqrstu"), reply)
    assert len(found.rows["mmevol.jsonl"]) == 18, "a set with the score 0 is made anew"
    assert all(row["score"] == 8 for row in found.rows["mmevol.jsonl"])
    assert len(found.asked("New set:")) > 18


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "I'm sorry, but I can't do that.",
        '[{"question": "cut',
        '[{"question": "What?", "skills": ["counting"]}]',
        '[{"question": "What?", "skills": ["juggling"], "answer": "That."}]',
        '[{"question": "...", "skills": ["counting"], "answer": "..."}]',
        "EXAMPLE",
        "[]",
    ],
)
def test_a_set_that_can_not_be_read_is_made_in_the_next_pass(play: Play, pictures: Pictures, answer: str) -> None:
    """`EXAMPLE` is what the prompt shows: a model that copies it has written no set of its own."""
    bad = f"{answer!r} if {answer!r} != 'EXAMPLE' else text.split('New set:\\n')[1].split('\\n')[0]"
    found = play("mmevol", rows(pictures, "x"), f'if "New set:" in text and request.seed % 2: return {bad}\n' + MMEVOL)
    assert [row["round"] for row in found.rows["mmevol.jsonl"]] == [1, 2, 3]
    assert not found.failed
    assert len(found.asked("New set:")) > 3
    assert not any("jar" in json.dumps(row) for row in found.rows["mmevol.jsonl"])


def test_a_row_with_one_pair_is_a_set(play: Play, pictures: Pictures) -> None:
    item = {"id": "pair", "images": pictures("red"), "instruction": "q", "response": "r"}
    found = play("mmevol", [item], MMEVOL, profile="pairs")
    assert [len(row["messages"]) for row in found.rows["mmevol.jsonl"]] == [2, 2, 2]


def test_pairs_without_text_are_left_out(play: Play, pictures: Pictures) -> None:
    pair = {"question": "q", "answer": "r"}
    sets = {"blank": [{"question": " ", "answer": "x"}, pair], "half": [{"question": "q"}], "empty": [], "odd": "q"}
    found = play("mmevol", [{"id": name, "images": pictures("red"), "qa": qa} for name, qa in sets.items()], MMEVOL)
    assert {row["id"].split("/")[0] for row in found.rows["mmevol.jsonl"]} == {"blank"}
    assert all(len(row["messages"]) == 2 for row in found.rows["mmevol.jsonl"])
    assert found.failed.keys() | found.dropped.keys() == {"half", "empty", "odd"}


@pytest.mark.parametrize("kind", ["format", "reasoning", "breadth"])
def test_the_example_of_the_prompt_has_the_form_that_is_read(kind: str) -> None:
    template = Template((ROOT / "templates/mmevol/evolve.jinja").read_text())
    fields = {"images": ["a.png"], "kind": kind, "qa": [{"question": "q", "answer": "r"}]}
    text = template.render(fields)[0].text
    example = text.split("New set:\n")[1].split("\n")[0]
    keys = {"question": "question", "answer": "answer", "skills": "skills"}
    (pair,) = Extraction(objects="qa", keys=keys).apply(example, "")["qa"]  # type: ignore[misc, union-attr]
    listed = re.findall(r"^- ([a-z ]+): ", text, re.MULTILINE)
    assert len(listed) == 9
    assert set(pair["skills"]) <= set(listed)  # type: ignore[index, arg-type, call-overload]


def test_the_prompt_of_the_judge_states_no_score() -> None:
    text = (ROOT / "templates/mmevol/grade.jinja").read_text()
    with pytest.raises(UnusableAnswer):
        parse_score(text, 0, 10)
