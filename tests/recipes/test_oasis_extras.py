"""Caption recycling, response filters and the OCR variant of Oasis."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from mminf_plugins.oasis.clean_caption import clean

from ..conftest import ROOT
from .conftest import Play

Pictures = Callable[..., list[str]]

OASIS = """
name = request.images[0].uri.rsplit("/", 1)[1].removesuffix(".png") if request.images else ""
if request.open_turn == "user":
    return {"cap": "A caption of a red thing on a wide table.", "bad": "A caption that is dull and says too little here.",
            "odd": "\\ufffd\\ufffd ### !!!", "low": "What is low?"}.get(name, f"What is {name}?")
if "[Begin of Text]" in text:
    sampled = text.rsplit("[Begin of Text]", 1)[1].split("[End of Text]")[0].strip()
    return f"Instruction: {sampled}" if sampled.endswith("?") else "NO_INST"
if "Rate how much of its content is text" in text:
    return "[[5]]" if name in ("a", "low") else "[[2]]"
if "[[" in text:
    if "[Begin of Response]" in text:
        return "[[4]]" if "what the response says is true" in text and "Answer of low" in text else "[[5]]"
    return "[[1]]" if "too little" in text and "how much detail the caption gives" in text else "[[5]]"
return f"Answer of {name} {request.seed % 1000}"
"""


def items(names: list[str]) -> list[dict[str, object]]:
    return [{"id": name.removesuffix(".png"), "images": [name]} for name in names]


def test_captions_are_recycled_beside_instructions(play: Play, pictures: Pictures) -> None:
    found = play("oasis_recycling", items(pictures("a", "cap", "bad", "odd")), OASIS)
    assert [row["id"] for row in found.rows["oasis.jsonl"]] == ["a"]
    (row,) = found.rows["captions.jsonl"]
    lines = (ROOT / "templates/captions/requests.txt").read_text().splitlines()
    assert row["messages"][0]["content"].removeprefix("<image>") in lines
    assert row["messages"][1]["content"] == "A caption of a red thing on a wide table."
    assert found.dropped["bad"] == ("good_caption", "detail 1 < 3")
    assert found.dropped["odd"][0] == "clean_caption"
    assert len(found.asked("how much detail the caption gives")) == 2, "an instruction is not rated as a caption"
    assert not any("A caption of" in prompt for prompt in found.asked("whether the image shows"))


def test_the_likeliest_of_five_responses_needs_log_probabilities(play: Play, pictures: Pictures) -> None:
    found = play("oasis", items(pictures("a")), OASIS, profile="nll")
    assert "none of 5 answers can be used" in found.failed["a"]
    assert "no log-probabilities" in found.failed["a"]


def test_judged_responses_need_full_marks(play: Play, pictures: Pictures) -> None:
    found = play("oasis", items(pictures("a", "low")), OASIS, profile="judged")
    assert [row["id"] for row in found.rows["oasis.jsonl"]] == ["a"]
    assert found.dropped["low"] == ("good_response", "truthfulness 4, not 5")


def test_without_a_profile_no_response_is_judged(play: Play, pictures: Pictures) -> None:
    found = play("oasis", items(pictures("a", "low")), OASIS)
    assert [row["id"] for row in found.rows["oasis.jsonl"]] == ["a", "low"]
    assert not found.asked("[Begin of Response]")


def test_the_ocr_variant_hooks_only_what_is_rich_in_text(play: Play, pictures: Pictures) -> None:
    found = play("oasis", items(pictures("a", "b", "low")), OASIS, profile="ocr")
    assert [row["id"] for row in found.rows["oasis.jsonl"]] == ["a", "low"]
    assert found.dropped["b"] == ("rich_in_text", "text_richness 2 < 4")
    assert len(found.calls) == 3 + 2 * 7


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("<|im_start|>A red ball.<|im_end|>", "A red ball."),
        ("**Caption:** A red ball.", "A red ball."),
        ("Description: A ball", "A ball"),
        ("A ball 😀\u200b on\x00 a\ufffd table", "A ball on a table"),
        ("A ball!!!!!!!!!", "A ball!"),
        ("<p>A ball</p>", "A ball"),
        ("**A red thermometer** shows 25°C, or 77 ℉.", "A red thermometer shows 25°C, or 77 ℉."),
        ("图片描述：一只红色的球。", "一只红色的球。"),
        ("an_old_name and a * b * c", "an_old_name and a * b * c"),
        ("See [the ball](http://x.y/z) at https://x.y", "See the ball at"),
        ("# A ball\n\n\n  on a   table ", "A ball\non a table"),
        ("一只红色的球。", "一只红色的球。"),
        ("a < b and c > d", "a < b and c > d"),
    ],
)
def test_captions_are_cleaned(text: str, wanted: str) -> None:
    assert clean(text) == wanted


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("A small red ball lies on a table.", True),
        ("一只红色的球在桌子上。", True),
        ("red ball", False),
        ("the ball the ball the ball the ball the ball the ball the ball", False),
        ("1 2 3 4 5 6 7 8 9 10 11 12 13 14", False),
        ("a } b { c ] d [ e ^ f & * ( ) = + = - ; : / ? , .", False),
    ],
)
def test_garbled_captions_are_dropped(play: Play, pictures: Pictures, text: str, kept: bool) -> None:
    reply = OASIS.replace('f"What is {name}?")', f"{text!r})")
    found = play("oasis_recycling", items(pictures("x")), reply)
    assert (len(found.rows["captions.jsonl"]) == 1) is kept
    if not kept:
        assert found.dropped["x"][0] == "clean_caption"
        assert found.dropped["x"][1].startswith("garbled")
