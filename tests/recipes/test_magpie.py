"""Magpie."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import yaml

from mminf.errors import RecipeError, UnusableAnswer
from mminf.step.extract import Extraction
from mminf.template import Template

from ..conftest import ROOT
from .conftest import Play

MAGPIE = """
asked = text.rsplit("[Begin of Request]", 1)[-1].split("[End of Request]")[0].strip()
if request.open_turn == "user":
    assert not request.images
    if len(request.turns) > 1:
        assert [turn.role for turn in request.turns] == ["system", "user", "assistant", "user"], request.turns
        return f"And then, what is there after {request.turns[2].text}?"
    kind = request.seed % 5
    return {0: "", 1: "Here are some examples:", 2: "Say the same thing again and again, will you please?",
            3: f"What is number {request.seed}?"}.get(kind, f"Bad {request.seed}")
if "Do not answer it" in text:
    quality = "poor" if asked.startswith("Bad") else "very good"
    return 'Sure: {"quality": "%s", "difficulty": "Moderate", "task": "Advice seeking"}' % quality
if "Are both safe?" in text:
    return "Yes"
if text.endswith("Score:"):
    return "[[4]]"
return f"A reply to {request.turns[-1].text}"
"""


def test_instructions_come_from_an_open_turn_without_image(play: Play) -> None:
    found = play("magpie", None, MAGPIE, source={"blank": 60})
    rows = found.rows["magpie.jsonl"]
    instructions = [row["messages"][0]["content"] for row in rows]
    assert len(set(instructions)) == len(instructions) > 5
    assert sum(text.startswith("Say the same") for text in instructions) == 1, "duplicates are dropped"
    assert all(row["messages"][1]["content"] == f"A reply to {row['messages'][0]['content']}" for row in rows)
    assert all("images" not in row for row in rows)
    tags = [
        {name: row[name] for name in ("quality", "difficulty", "task", "safe", "reward", "language")} for row in rows
    ]
    wanted = {
        "quality": "excellent",
        "difficulty": "medium",
        "task": "advice",
        "safe": True,
        "reward": 4,
        "language": "en",
    }
    assert all(tag == wanted for tag in tags), tags
    reasons = Counter(step for step, _ in found.dropped.values())
    assert set(reasons) == {"good", "deduplicate"}
    assert any("instruction[-1:]" in reason for _, reason in found.dropped.values()), (
        "what ends with a colon is cut off"
    )


@pytest.mark.parametrize("recipe", ["magpie", "magpie_turns"])
def test_values_of_tags_may_be_written_in_other_words(recipe: str) -> None:
    steps = yaml.safe_load((ROOT / f"recipes/{recipe}.yaml").read_text())["steps"]
    tag = Extraction(**next(step["generate"] for step in steps if "generate" in step)["extract"])
    names = ("quality", "difficulty", "task")
    for said, meant in [
        (("Excellent.", "very-easy", "Information seeking"), ("excellent", "very easy", "information")),
        (("great", "Difficult", "Coding & Debugging"), ("excellent", "hard", "coding")),
        (("very_poor", "TRIVIAL", "Role playing"), ("very poor", "very easy", "role play")),
        (("high", "challenging", "Mathematics"), ("good", "hard", "math")),
        (("below average", "simple", "Others"), ("poor", "easy", "other")),
    ]:
        answer = json.dumps(dict(zip(map(str.title, names), said, strict=True)))
        assert tag.apply(answer, "") == dict(zip(names, meant, strict=True))
    for wrong in (
        ("splendid", "easy", "math"),
        ("good", "", "math"),
        ("good", "easy", "math or coding"),
        ("good", "easy", None),
    ):
        with pytest.raises(UnusableAnswer, match="not one of"):
            tag.apply(json.dumps(dict(zip(names, wrong, strict=True))), "")
    for field, values in tag.values.items():
        assert isinstance(values, dict)
        spelled = [word for value, synonyms in values.items() for word in (value, *synonyms)]
        assert len(set(spelled)) == len(spelled), f"a word of {field} means one value"


def test_the_prompt_of_the_tags_is_no_answer() -> None:
    steps = yaml.safe_load((ROOT / "recipes/magpie.yaml").read_text())["steps"]
    tag = Extraction(**next(step["generate"] for step in steps if "generate" in step)["extract"])
    (turn,) = Template((ROOT / "templates/magpie/tag.jinja").read_text()).render({"instruction": "What?"})
    with pytest.raises(UnusableAnswer):
        tag.apply(turn.text, "")


ONE_TURN = MAGPIE.replace("kind = request.seed % 5", "kind = 3")
TAGS = """
bad = {"Do not answer it": "It is a good one.", "Are both safe?": "I'd rather not say.", "Rate the response.": "Four or five."}
for part, said in bad.items():
    if part in text and WHEN: return said
"""


@pytest.mark.parametrize("recipe", ["magpie", "magpie_turns"])
def test_a_tag_that_can_not_be_read_is_asked_for_again(play: Play, recipe: str) -> None:
    again = TAGS.replace("WHEN", "not request.sampling.temperature")
    found = play(recipe, None, again + ONE_TURN, source={"blank": 3})
    assert len(found.rows[f"{recipe}.jsonl"]) == 3


@pytest.mark.parametrize("recipe", ["magpie", "magpie_turns"])
def test_truncated_tags_are_asked_for_again(play: Play, recipe: str) -> None:
    cut = """
from mminf.request import Generation
if "Do not answer it" in text and not request.sampling.temperature: return Generation('{"quality": "go', "length", 9, 9)
"""
    assert len(play(recipe, None, cut + ONE_TURN, source={"blank": 3}).rows[f"{recipe}.jsonl"]) == 3


@pytest.mark.parametrize("recipe", ["magpie", "magpie_turns"])
@pytest.mark.parametrize(("part", "step"), [("Do not", "tag"), ("Are both safe", "safe"), ("Rate the", "reward")])
def test_a_tag_that_can_never_be_read_fails_its_record(play: Play, recipe: str, part: str, step: str) -> None:
    found = play(recipe, None, TAGS.replace("WHEN", f"{part!r} in text") + ONE_TURN, source={"blank": 3})
    assert not found.rows[f"{recipe}.jsonl"]
    assert len(found.failed) == 3
    assert all(reason.startswith(f"{step}: ") and "(3 attempts)" in reason for reason in found.failed.values())


def test_answers_of_no_use_are_dropped_and_unsafe_ones_are_marked(play: Play) -> None:
    reply = """
if text.endswith("Score:"): return "[[1]]" if request.seed % 2 else "[[2]]"
if "Are both safe?" in text: return "No"
""".replace("request.seed", "len(asked)")
    head, tail = ONE_TURN.split("if request.open_turn", 1)
    found = play("magpie", None, f"{head}{reply}if request.open_turn{tail}", source={"blank": 30})
    rows = found.rows["magpie.jsonl"]
    assert rows
    assert all(row["reward"] == 2 and row["safe"] is False for row in rows)
    assert {step for step, _ in found.dropped.values()} == {"useful"}


def test_the_longest_answers_are_kept(play: Play) -> None:
    reply = ONE_TURN.replace(
        'return f"A reply',
        'return "So. " + f"Number {request.turns[-1].text} is a number. " * (len(text) % 3) + f"A reply',
    )
    every = play("magpie", None, reply, source={"blank": 30})
    found = play("magpie", None, reply, source={"blank": 30}, **{"steps.longest.count": 4})
    lengths = sorted(len(row["messages"][1]["content"]) for row in every.rows["magpie.jsonl"])
    assert sorted(len(row["messages"][1]["content"]) for row in found.rows["magpie.jsonl"]) == lengths[-4:]
    assert {step for step, _ in found.dropped.values()} >= {"longest"}


def test_magpie_takes_no_input(play: Play, tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("a\n")
    with pytest.raises(RecipeError, match="takes no input"):
        play("magpie", tmp_path / "rows.txt", MAGPIE)


def test_records_of_magpie_have_seeds_of_their_own_and_stay(play: Play) -> None:
    few = play("magpie", None, MAGPIE, source={"blank": 10})
    kept = {row["id"]: row for row in few.rows["magpie.jsonl"]}
    again = play("magpie", None, MAGPIE, source={"blank": 20})
    assert {row["id"]: row for row in again.rows["magpie.jsonl"] if int(row["id"]) < 10} == kept


def test_turns_go_on(play: Play) -> None:
    found = play("magpie_turns", None, ONE_TURN, source={"blank": 20})
    rows = found.rows["magpie_turns.jsonl"]
    assert len(rows) == 20
    for row in rows:
        said = [message["content"] for message in row["messages"]]
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"] * 2
        assert said[2] == f"And then, what is there after {said[1]}?"
        assert said[3] == f"A reply to {said[2]}"
        assert [tag["quality"] for tag in row["tags"]] == ["excellent", "excellent"]
        assert [tag["reward"] for tag in row["tags"]] == [4, 4]
        assert row["language"] == "en"
    later = [
        prompt
        for prompt in found.asked("Do not answer it")
        if "And then, what" in prompt.rsplit("[Begin of Request]")[1]
    ]
    assert len(later) == 20
    assert all("User: What is number" in prompt for prompt in later), "a later turn is judged after those before it"


@pytest.mark.parametrize(
    ("next_turn", "step"),
    [
        ("Bad question", "good_next"),
        ("Here are some more:", "good_next"),
        ("I'm sorry, but I can't help with that.", "refused_next"),
        ("again and again " * 20, "degenerate_next"),
        ("What is number {n}?", "degenerate_next"),
        ("那么接下来还有什么呢？请告诉我。", "next_language"),
    ],
)
def test_later_turns_pass_the_filters_of_the_first(play: Play, next_turn: str, step: str) -> None:
    same = "request.turns[1].text" if "{n}" in next_turn else repr(next_turn)
    reply = ONE_TURN.replace('f"And then, what is there after {request.turns[2].text}?"', same)
    found = play("magpie_turns", None, reply, source={"blank": 3})
    assert not found.rows["magpie_turns.jsonl"]
    assert {dropped for dropped, _ in found.dropped.values()} == {step}


def test_duplicates_of_the_first_turn_are_dropped(play: Play) -> None:
    reply = MAGPIE.replace("kind = request.seed % 5", "kind = 2")
    found = play("magpie_turns", None, reply, source={"blank": 5})
    assert len(found.rows["magpie_turns.jsonl"]) == 1
    assert Counter(step for step, _ in found.dropped.values()) == {"deduplicate": 4}
