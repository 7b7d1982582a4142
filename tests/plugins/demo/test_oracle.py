from __future__ import annotations

import random

import pytest
from mminf_plugins.demo.world import (
    QUALITIES,
    Bar,
    Figure,
    Scene,
    caption,
    extract,
    is_right,
    is_valid_hook,
    judge,
    make_hook,
    make_instruction,
    make_scene,
)
from mminf_plugins.demo.world.forms import FORMS, VAGUE
from mminf_plugins.demo.world.language import is_caption, parse, sentences
from mminf_plugins.demo.world.oracle import keeps

FIGURES = Scene(
    0,
    "figures",
    "#ffffff",
    figures=(
        Figure("circle", "red", "small", "top left"),
        Figure("square", "blue", "large", "top right"),
        Figure("circle", "green", "large", "bottom right"),
    ),
)
WORD = Scene(0, "sign", "#ffffff", text="HOTEL", colour="red")
NUMBER = Scene(0, "sign", "#ffffff", text="47", colour="blue")
CHART = Scene(0, "chart", "#ffffff", bars=(Bar("red", 2), Bar("blue", 5), Bar("green", 3)))


@pytest.mark.parametrize(
    ("scene", "instruction", "answer"),
    [
        (FIGURES, "What colour is the circle at the top left?", "The circle at the top left is red."),
        (FIGURES, "What is at the bottom right?", "It is a large green circle."),
        (FIGURES, "What shape is the blue figure?", "It is a blue square."),
        (FIGURES, "How many figures are there?", "There are three."),
        (FIGURES, "How many circles are there?", "There are two."),
        (FIGURES, "How many squares are there?", "There is one."),
        (FIGURES, "Is the red circle small or large?", "The red circle is small."),
        (FIGURES, "Where is the blue square?", "The blue square is at the top right."),
        (FIGURES, "Describe the green circle.", "The green circle is at the bottom right and is large."),
        (FIGURES, "Is the red circle to the left of the blue square?", "The red circle is at the top left and the blue square is at the top right, so yes."),
        (FIGURES, "Is the blue square to the left of the green circle?", "The blue square is at the top right and the green circle is at the bottom right, so no."),
        (FIGURES, "Is the blue square above the green circle?", "The blue square is at the top right and the green circle is at the bottom right, so yes."),
        (FIGURES, "Is the green circle above the red circle?", "The green circle is at the bottom right and the red circle is at the top left, so no."),
        (FIGURES, "Describe the image.",
         "The image shows a small red circle at the top left, a large blue square at the top right and a large green circle at the bottom right."),
        (WORD, "What word is on the sign?", "It is HOTEL."),
        (WORD, "What colour is the text on the sign?", "It is red."),
        (WORD, "How many letters has the word on the sign?", "It has five."),
        (WORD, "Is there a word or a number on the sign?", "It is a word."),
        (WORD, "What is the first letter of the word on the sign?", "It is H."),
        (WORD, "What is the last letter of the word on the sign?", "It is L."),
        (WORD, "Describe the image.", "A sign says HOTEL in red letters."),
        (NUMBER, "What number is on the sign?", "It is 47."),
        (NUMBER, "Is the number on the sign even or odd?", "It is odd."),
        (NUMBER, "Is there a word or a number on the sign?", "It is a number."),
        (NUMBER, "What is the first digit of the number on the sign?", "It is 4."),
        (NUMBER, "What is the last digit of the number on the sign?", "It is 7."),
        (NUMBER, "牌子上的数字是奇数还是偶数？", "是奇数。"),
        (FIGURES, "红色的圆形在蓝色的正方形的左边吗？", "红色的圆形在左上角，蓝色的正方形在右上角，所以是的。"),
        (CHART, "哪根柱子最高？", "是蓝色的那根。"),
        (NUMBER, "Describe the image.", "A sign shows the number 47 in blue."),
        (CHART, "How many bars has the chart?", "It has three."),
        (CHART, "Which bar is the highest?", "It is the blue one."),
        (CHART, "Which bar is the lowest?", "It is the red one."),
        (CHART, "What is the value of the green bar?", "It is a green bar of three."),
        (CHART, "Is the red bar higher than the green bar?", "It is a red bar of two and a green bar of three, so no."),
        (CHART, "Is the blue bar higher than the green bar?", "It is a blue bar of five and a green bar of three, so yes."),
        (CHART, "Describe the image.", "A bar chart has a red bar of two, a blue bar of five and a green bar of three."),
    ],
)  # fmt: skip
def test_sound_instructions_and_their_answers(scene: Scene, instruction: str, answer: str) -> None:
    verdict = judge(instruction, scene)
    assert (verdict.sound, verdict.answer) == (True, answer)
    assert is_right(answer, instruction, scene)
    assert not is_right("It is hidden.", instruction, scene)


@pytest.mark.parametrize(
    ("scene", "instruction", "scores"),  # solvability, clarity, hallucination, nonsense
    [
        (FIGURES, "Where is the red square?", (2, 5, 3, 5)),
        (FIGURES, "Where is the black star?", (1, 5, 2, 5)),
        (FIGURES, "Is the red square above the blue circle?", (1, 5, 2, 5)),
        (FIGURES, "Is the red circle above the red circle?", (2, 5, 3, 5)),
        (FIGURES, "What is at the bottom left?", (1, 5, 2, 5)),
        (FIGURES, "How many stars are there?", (1, 5, 2, 5)),
        (FIGURES, "Which bar is the highest?", (1, 5, 1, 5)),
        (WORD, "What number is on the sign?", (2, 5, 3, 5)),
        (NUMBER, "How many letters has the word on the sign?", (2, 5, 3, 5)),
        (CHART, "What is the value of the black bar?", (1, 5, 2, 5)),
        (CHART, "Is the red bar higher than the red bar?", (2, 5, 3, 5)),
        (CHART, "How many figures are there?", (1, 5, 1, 5)),
        (FIGURES, "Who painted the red circle?", (1, 5, 5, 5)),
        (FIGURES, "Who painted the red star?", (1, 5, 3, 5)),
        (WORD, "In which town does the sign hang?", (1, 5, 5, 5)),
        (CHART, "How much did this picture cost?", (1, 5, 5, 5)),
        (FIGURES, "What about it?", (2, 1, 5, 5)),
        (FIGURES, "Which one is meant here?", (2, 2, 5, 5)),
        (FIGURES, "Where is the the red circle?", (5, 4, 5, 4)),
        (FIGURES, "Where the is red circle?", (5, 4, 5, 3)),
        (FIGURES, "Where is the the red star?", (2, 4, 3, 4)),
        (FIGURES, "red the circle is Where?", (1, 1, 1, 1)),
        (CHART, "How many bars has chart?", (1, 1, 1, 1)),
        (CHART, "What colour is the red bar higher than the blue bar?", (1, 1, 1, 1)),
        (WORD, "What is the first digit of the number on the sign?", (2, 5, 3, 5)),
        (FIGURES, "Please write a poem about autumn.", (1, 1, 1, 1)),
        (FIGURES, "?", (1, 1, 1, 1)),
        (FIGURES, "", (1, 1, 1, 1)),
        (FIGURES, "red " * 5000, (1, 1, 1, 1)),
    ],
)  # fmt: skip
def test_defects_are_graded_on_their_axes(scene: Scene, instruction: str, scores: tuple[int, ...]) -> None:
    verdict = judge(instruction, scene)
    assert (verdict.solvability, verdict.clarity, verdict.hallucination, verdict.nonsense) == scores
    assert not verdict.sound
    assert not is_right("It is red.", instruction, scene) or verdict.answer is not None


def test_drawn_instructions_have_the_defect_that_they_are_drawn_for() -> None:
    failing = {
        "sound": set(),
        "absent": {"hallucination", "solvability"},
        "unanswerable": {"solvability"},
        "vague": {"solvability", "clarity"},
        "joined": {"solvability", "clarity", "hallucination", "nonsense"},
    }
    for seed in range(400):
        scene = make_scene(seed)
        for quality in QUALITIES:
            verdict = judge(make_instruction(scene, random.Random(seed), quality), scene)
            bad = {axis for axis in ("solvability", "clarity", "hallucination", "nonsense") if not verdict.passes(axis)}
            if quality == "garbled":
                assert "nonsense" in bad
            else:
                assert bad == failing[quality]
            assert verdict.sound == (quality == "sound")
    with pytest.raises(ValueError, match="unknown quality 'odd'; known: sound, absent"):
        make_instruction(make_scene(0), random.Random(0), "odd")


def test_every_form_can_be_drawn_and_read_back() -> None:
    drawn = set()
    for seed in range(3000):
        scene, rng = make_scene(seed % 200), random.Random(seed)
        found = parse(make_instruction(scene, rng, rng.choice(("sound", "unanswerable", "vague"))))
        assert found is not None
        drawn.add(found[0])
    assert drawn == set(FORMS)


@pytest.mark.parametrize(
    ("text", "instruction"),
    [
        ("Where is the red circle?", "Where is the red circle?"),
        ("A sign says HOTEL in red letters.", None),
        ("A sign says HOTEL in red letters. What word is on the sign?", "What word is on the sign?"),
        ("What word is on the sign? It is HOTEL.", "What word is on the sign?"),
        ("Describe the image.", "Describe the image."),
        ("Where is  the\nred circle? Where is the blue square?", "Where is the red circle?"),
        ("circle the Where is?", "circle the Where is?"),
        ("", None),
    ],
)
def test_extraction(text: str, instruction: str | None) -> None:
    assert extract(text) == instruction


def test_hooks_are_half_captions_and_some_are_defective() -> None:
    hooks = [(make_hook(make_scene(seed), random.Random(seed)), make_scene(seed)) for seed in range(2000)]
    assert all(is_valid_hook(text) for text, _ in hooks)
    asked = [(extract(text), scene) for text, scene in hooks]
    held = [(text, scene) for text, scene in asked if text is not None]
    sound = [text for text, scene in held if judge(text, scene).sound]
    assert 0.45 < len(held) / len(hooks) < 0.62
    assert 0.45 < len(sound) / len(held) < 0.65
    assert not is_valid_hook("The weather is fine.")
    assert not is_valid_hook("Is the weather fine?")
    assert is_valid_hook("fine the red is Where?") is False
    assert is_valid_hook("circle the red is Where?")
    assert is_valid_hook("What number is on the sign? It is 42.")
    assert not is_valid_hook("")
    for salad in ("red red red red red.", "the. a. of.", "47.", "It is at the so.", "It is a zero PIZZA chart."):
        assert not is_valid_hook(salad), salad


def test_captions() -> None:
    for seed in range(200):
        scene = make_scene(seed)
        for opening in (0, 1):
            text = caption(scene, opening)
            assert is_caption(text)
            assert sentences(text) == [text]
            assert is_right(text, "Describe the image.", scene)
    turned = "There is a large blue square at the top right, a large green circle at the bottom right and a small red circle at the top left."
    assert is_right(turned, "Describe the image.", FIGURES)
    assert not is_right(turned.replace("small", "large"), "Describe the image.", FIGURES)
    twice = turned.replace("There is", "There is a large blue square at the top right,")
    assert is_caption(twice) and not is_right(twice, "Describe the image.", FIGURES)
    assert not is_right("A sign says HOTEL in red letters.", "Describe the image.", FIGURES)
    assert not is_caption("The image shows a sunset.")


def test_the_filter() -> None:
    fine = {"solvability": 4, "clarity": 3, "hallucination": 5, "nonsense": 5}
    assert keeps(fine)
    for worse in ({"solvability": 3}, {"clarity": 2}, {"hallucination": 4}, {"nonsense": 4}):
        assert not keeps(fine | worse)
    assert {form.clarity for form in VAGUE} == {1, 2}
