"""Unicorn's steps for seeds: `article` and `web_caption`. `labelled/` has captions, and web texts that are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mminf_plugins.unicorn.article import with_article
from mminf_plugins.unicorn.web_caption import why_no_caption
from pydantic import ValidationError

from mminf.errors import RecordError
from mminf.step import Drop
from mminf.testing import run_step


def labelled(name: str) -> list[str]:
    return (Path(__file__).parent / "labelled" / f"{name}.txt").read_text(encoding="utf-8").splitlines()


ARTICLES = """
an apple pie, a pretzel, an hour, an hourglass, an heirloom tomato, an honest man, a house, a university, a unicycle
a European robin, a Eurasian jay, an umbrella, an unripe tomato, an unidentified bird, an urn, a ukulele, a ewe
a one-piece swimsuit, an oboe, an SUV, a USB stick, a UFO, an X-ray, a T-shirt, an F-16A/B, an A320, an MD-80, a DC-10
an L-1011, an SR-20, a Boeing 737-800, a 737-800, an 8-track, an 11-inch knife, an 18-wheeler, an 1850 coin
a 1965 Mustang, a 2012 Audi A5 Coupe, an AM General Hummer, a FIAT 500, a HUMMER H3, a BMW M3, an Aston Martin V8
an Abyssinian, an Irish setter, an éclair, a cactus, an iris, an albatross, a lens, a Mercedes, a cosmos, a bus
a rhinoceros, a bird of paradise, a hibiscus
"""


@pytest.mark.parametrize("expected", ARTICLES.strip().replace("\n", ", ").split(", "))
def test_articles_follow_the_sound(expected: str) -> None:
    assert with_article(expected.partition(" ")[2]) == expected


@pytest.mark.parametrize(
    "label",
    [
        "french fries",
        "scissors",
        "nachos",
        "pancakes",
        "boxes with lids",
        "the Eiffel Tower",
        "a cat",
        "an owl",
        "郁金香",
    ],
)
def test_plurals_and_labels_with_an_article_get_none(label: str) -> None:
    assert with_article(label) == label


def test_a_label_may_be_a_number() -> None:
    assert run_step("article", {}, {"label": 747}) == {"with_article": "a 747"}
    for label in (None, "", "  ", True, ["cat"]):
        with pytest.raises(RecordError, match="is not a label"):
            run_step("article", {}, {"label": label})


@pytest.mark.parametrize("text", labelled("captions"))
def test_captions_of_people_are_kept(text: str) -> None:
    assert run_step("web_caption", {}, {"seed": text}) == {}


@pytest.mark.parametrize("text", labelled("no_captions"))
def test_other_web_texts_are_dropped(text: str) -> None:
    found = run_step("web_caption", {}, {"seed": text})
    assert isinstance(found, Drop) and found.reason.startswith("seed ")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A cat.", "has 2 words, not 5 to 60"),
        ("A cat and " + "a dog and " * 20 + "a hen", "has 65 words, not 5 to 60"),
        ("一只猫", "has 3 words"),
        ("a cat " * 1000, "has 6000 characters"),
        ("A cat on a mat, and more at cats.org/pictures", "contains an address: 'cats.org'"),
        ("Write to cats@example.org for pictures of cats", "contains an address"),
        ("A picture of a cat called cat_on_mat.png", "contains a file name"),
        ("A red chair for 20 EUR in the corner", "contains a price"),
        ("一把红色的椅子，只要99元", "contains a price"),
        ("A black cat on a mat #cats", "contains a hashtag"),
        ("A black cat on a mat by @cats", "contains a hashtag or user name"),
        ("The cat &amp; the dog on a mat", "contains markup"),
        ("BLACK CAT ON A MAT AT HOME", "is in capitals"),
        ("Black Cat On Mat In Old House", "is a title"),
        ("cat, mat, house, chair, lamp, table", "is a list of keywords"),
        ("black cat red mat old house", "is a list of keywords"),
        ("the cat the cat the cat on the mat", "repeats its words"),
        ("two black cats 1 2 3 beside the house", "consists of numbers"),
        ("12345 23456 34567 4 a cat", "letters"),
        (None, "is not a text"),
    ],
)
def test_the_reason_is_told(text: str | None, reason: str) -> None:
    found = run_step("web_caption", {}, {"seed": text})
    assert isinstance(found, Drop) and reason in found.reason


def test_the_limits_can_be_set() -> None:
    assert run_step("web_caption", {"words": [1, 3]}, {"seed": "a cat"}) == {}
    assert isinstance(run_step("web_caption", {"min_letters": 1.0}, {"seed": "A cat sits on a mat."}), Drop)
    for words in ([0, 3], [3, 2]):
        with pytest.raises(ValidationError, match=r"is not \[minimum, maximum\]"):
            run_step("web_caption", {"words": words}, {"seed": "a cat"})


@given(st.text())
def test_any_text_is_judged(text: str) -> None:
    why_no_caption(text, (1, 1000), 0.5)
    with_article(text)
