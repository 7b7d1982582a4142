"""Preference pairs: which responses may be part of a pair, and which pairs become rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Play, Played

Pictures = Callable[..., list[str]]

REQUEST = "What is the cat on the mat doing?"
BEST = "The cat is asleep on the mat."
FAIR = "The cat is awake on the mat."
WORST = "The dog is on the mat and barks."
RATINGS = {BEST: 9, FAIR: 5, WORST: 2}
# The calls for the responses of a record get them in order; every other response is the worst.
PREFERENCE = """
from mminf.backend import Generation

if "Score:" in text:
    said = text.split("[Begin of Response]\\n")[1].split("\\n[End of Response]")[0]
    found = judged.get(said, ratings.get(said, 1))
    return found if isinstance(found, (str, Generation)) else f"[[{found}]]"
if "Better response:" in text:
    a, b = (text.split(f"[Begin of Response {x}]\\n")[1].split(f"\\n[End of Response {x}]")[0] for x in "AB")
    return f"[[{prefer(a, b)}]]"
taken = globals().setdefault("taken", {})
number = taken.setdefault(text, {}).setdefault(request.seed, len(taken[text]))
said = responses[number % len(responses)]
return Generation(said[1], "length", 1, 1) if isinstance(said, tuple) else said
"""
GOOD = [BEST, FAIR, WORST]


def play_pairs(
    play: Play,
    responses: list[Any],
    rows: list[dict[str, Any]] | None = None,
    *,
    ratings: dict[str, int] | None = None,
    judged: dict[str, Any] | None = None,
    prefer: str = "'A' if 'cat' in a else 'B'",
    **settings: Any,
) -> Played:
    """Plays the recipe with responses in this order, and ratings by text."""
    settings.setdefault("steps.draw.n", len(responses))
    rows = rows or [{"id": "x", "instruction": REQUEST}]
    return play("preference", rows, reply_with(responses, ratings or RATINGS, judged or {}, prefer), **settings)


def reply_with(
    responses: list[Any], ratings: dict[str, int], judged: dict[str, Any] | None = None, prefer: str = "'A'"
) -> str:
    """Returns the model of a play."""
    known = f"responses, ratings, judged = {responses!r}, {ratings!r}, {judged or {}!r}"
    return f"{known}\ndef prefer(a, b):\n    return {prefer}\n{PREFERENCE}"


def test_the_best_and_the_worst_become_a_row(play: Play, pictures: Pictures) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "seen", "images": pictures("cat"), "instruction": REQUEST},
        {"id": "two", "images": pictures("cat", "mat"), "instruction": "What is in <image> and <image>?"},
        {"id": "text", "instruction": "Where is the cat?"},
    ]
    found = play_pairs(play, GOOD, rows)
    assert not found.failed
    written = {row["id"]: row for row in found.rows["preference.jsonl"]}
    row = written["seen"]
    assert row["messages"] == [
        {"role": "user", "content": f"<image>{REQUEST}"},
        {"role": "assistant", "content": BEST},
    ]
    assert row["rejected_response"] == WORST
    assert (row["best_score"], row["worst_score"]) == (9, 2)
    assert [image.rsplit("/", 1)[1] for image in row["images"]] == ["cat.png"]
    assert written["two"]["messages"][0]["content"] == "What is in <image> and <image>?"
    assert written["text"]["messages"][0]["content"] == "Where is the cat?"
    assert "images" not in written["text"]
    # Names that ms-swift gives a meaning: a reward model's margin, a label, the columns of the rejected conversation.
    assert set(row) == {"id", "messages", "images", "rejected_response", "best_score", "worst_score"}


def test_the_judge_sees_the_image_if_there_is_one(play: Play, pictures: Pictures) -> None:
    rows = [{"id": "a", "images": pictures("cat"), "instruction": REQUEST}, {"id": "b", "instruction": "Where is it?"}]
    found = play_pairs(play, GOOD, rows)
    seen, unseen = (found.asked(f"[Begin of Request]\n{row['instruction']}") for row in rows)
    assert len(seen) == len(unseen) == 3
    assert all("about the image above" in prompt for prompt in seen)
    assert not any("image" in prompt for prompt in unseen)


@pytest.mark.parametrize(
    ("margin", "ratings", "kept"),
    [
        (None, {BEST: 5, FAIR: 5, WORST: 5}, False),
        (None, {BEST: 6, FAIR: 5, WORST: 5}, False),
        (None, {BEST: 7, FAIR: 6, WORST: 5}, True),
        (4, {BEST: 8, FAIR: 6, WORST: 5}, False),
        (4, {BEST: 9, FAIR: 6, WORST: 5}, True),
    ],
)
def test_ties_and_small_margins_are_dropped(
    play: Play, margin: int | None, ratings: dict[str, int], kept: bool
) -> None:
    settings = {} if margin is None else {"steps.margin.expression": f"best_score - worst_score >= {margin}"}
    found = play_pairs(play, GOOD, ratings=ratings, **settings)
    assert bool(found.rows["preference.jsonl"]) is kept
    assert kept or found.dropped["x"][0] == "margin"


@pytest.mark.parametrize(
    "same",
    [BEST, f"{BEST} ", f"  {BEST}", BEST.replace(" ", "  "), BEST.lower(), BEST.upper(), f"{BEST[:-1]}!", BEST[:-1]],
)
def test_identical_texts_are_no_pair_even_if_their_ratings_differ(play: Play, same: str) -> None:
    found = play_pairs(play, [BEST, same], ratings={BEST: 9, same.strip(): 2})
    assert found.rows["preference.jsonl"] == []
    assert found.dropped["x"][0] == "two"
    assert not found.asked("Score:"), "no rating is needed"


@pytest.mark.parametrize(
    ("one", "other"), [("5", "-5"), ("3.5", "35"), ("<b>", "<i>"), ("a + b = 4", "a - b = 4"), ("C", "C#")]
)
def test_texts_that_differ_in_a_sign_are_a_pair(play: Play, one: str, other: str) -> None:
    found = play_pairs(play, [one, other], ratings={one: 9, other: 2})
    assert [row["rejected_response"] for row in found.rows["preference.jsonl"]] == [other]


BAD = {
    "empty": "",
    "blank": " \n ",
    "truncated": ("cut", "The cat is asleep on the mat, and behind it"),
    "refused": "I'm sorry, but I can't help with that.",
    "refused as an AI": "As an AI language model, I am unable to view images.",
    "Chinese": "猫在垫子上睡觉。",
    "French": "Le chat est sur le tapis et il dort dans la maison.",
    "echo": REQUEST,
    "labelled echo": f"Question: {REQUEST}",
    "system prompt": "You are a helpful assistant.",
    "special token": "The cat sleeps<|im_end|>",
    "loop": "The cat sits on the mat. " * 12,
    "placeholder": "[object Object]",
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("rating", [1, 10])
def test_bad_responses_are_in_no_pair(play: Play, bad: Any, rating: int) -> None:
    """They are neither the rejected nor the chosen response, whatever the judge says."""
    said = str(bad[1] if isinstance(bad, tuple) else bad).strip()
    found = play_pairs(play, [bad, BEST, FAIR], ratings={BEST: 7, FAIR: 4, said: rating})
    (row,) = found.rows["preference.jsonl"]
    assert (row["messages"][-1]["content"], row["rejected_response"]) == (BEST, FAIR)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_no_pair_is_made_of_bad_responses(play: Play, bad: Any) -> None:
    found = play_pairs(play, [bad])
    assert found.rows["preference.jsonl"] == []
    assert set(found.failed) | set(found.dropped) == {"x"}


@pytest.mark.parametrize(
    "said",
    [
        "",
        "I'm sorry, but I can't help with that.",
        "[[11]]",
        "[[0]]",
        "It is between 3 and 9.",
        "这个回答很好。",
        "Write the score as [[n]], where n is a whole number from 1 to 10, and nothing else.",
        "Score:",
    ],
)
def test_a_rating_that_can_not_be_read_makes_no_row(play: Play, said: str) -> None:
    found = play_pairs(play, GOOD, judged={FAIR: said})
    assert found.rows["preference.jsonl"] == []
    assert "quality" in found.failed["x"]


def test_a_truncated_rating_makes_no_row(play: Play) -> None:
    reply = PREFERENCE.replace('f"[[{found}]]"', 'Generation(f"[[{found}]]", "length", 1, 1)')
    known = f"responses, ratings, judged = {GOOD!r}, {RATINGS!r}, {{}}\n"
    found = play("preference", [{"id": "x", "instruction": REQUEST}], known + reply, **{"steps.draw.n": 3})
    assert found.rows["preference.jsonl"] == []
    assert "truncated" in found.failed["x"]


@pytest.mark.parametrize("instruction", ["", "  ", None, 5])
def test_a_row_without_a_request_is_dropped(play: Play, instruction: Any) -> None:
    found = play_pairs(play, GOOD, [{"id": "x", "instruction": instruction}])
    assert found.rows["preference.jsonl"] == []
    assert not found.calls


def test_a_response_in_the_language_that_is_asked_for(play: Play) -> None:
    rows = [{"id": "x", "instruction": "Translate the text on the sign into Chinese."}]
    found = play_pairs(play, ["出口在左边的门后面。", "入口"], rows, ratings={"出口在左边的门后面。": 9, "入口": 2})
    assert [row["rejected_response"] for row in found.rows["preference.jsonl"]] == ["入口"]


def test_media_tags_in_responses_are_no_positions(play: Play, pictures: Pictures) -> None:
    tagged = "The cat <image> sleeps <|image_pad|>here."
    found = play_pairs(
        play,
        [BEST, tagged],
        [{"id": "x", "images": pictures("cat"), "instruction": REQUEST}],
        ratings={BEST: 9, "The cat < image> sleeps <|image_pad|>here.": 2, tagged: 2},
    )
    (row,) = found.rows["preference.jsonl"]
    assert row["rejected_response"] == "The cat < image> sleeps < |image_pad|>here."


@pytest.mark.parametrize(
    ("prefer", "kept"),
    [
        ("'A' if 'asleep' in a else 'B'", True),
        ("'B' if 'asleep' in a else 'A'", False),
        ("'A'", False),
        ("'C'", False),
    ],
)
def test_with_a_comparison_the_judge_must_prefer_the_better_one_in_both_orders(
    play: Play, prefer: str, kept: bool
) -> None:
    found = play_pairs(play, GOOD, prefer=prefer, profile="compared")
    assert bool(found.rows["preference.jsonl"]) is kept
    assert kept or found.dropped["x"][0] == "preferred"
    assert len(found.asked("Better response:")) == 2
