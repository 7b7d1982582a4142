"""Defects of wording: garbled texts, and two instructions that run into each other."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mminf_plugins.demo.world import is_valid_hook, judge, make_instruction, make_scene
from mminf_plugins.demo.world.defects import garble, join
from mminf_plugins.demo.world.language import split_words
from mminf_plugins.demo.world.oracle import repair

from mminf.language import is_chinese

SEEDS = st.integers(0, 10**9)


@settings(deadline=None)
@given(SEEDS, st.booleans())
def test_joined_instructions_are_bad_on_every_axis(seed: int, chinese: bool) -> None:
    scene = make_scene(seed)
    text = make_instruction(scene, random.Random(seed), "joined", chinese=chinese)
    verdict = judge(text, scene)
    assert (verdict.solvability, verdict.clarity, verdict.hallucination, verdict.nonsense) == (1, 1, 1, 1)
    assert is_chinese(text) == chinese
    assert text[-1] in ("？。" if chinese else "?.")
    if text[-1] in "?？":
        assert is_valid_hook(text), "it has words of the language only"


@settings(deadline=None)
@given(SEEDS, st.booleans())
def test_garbled_instructions_are_nonsense_in_both_languages(seed: int, chinese: bool) -> None:
    scene = make_scene(seed)
    text = make_instruction(scene, random.Random(seed), "garbled", chinese=chinese)
    assert not judge(text, scene).passes("nonsense")
    assert is_chinese(text) == chinese


@pytest.mark.parametrize(
    "pair",
    [
        ("Which bar is the highest?", "What colour is the text on the sign?"),
        ("哪根柱子最高？", "牌子上的文字是什么颜色？"),
    ],
)
def test_what_is_joined_has_words_of_both_and_is_neither(pair: tuple[str, str]) -> None:
    both = 0
    words = [set(split_words(text)[0]) for text in pair]
    for seed in range(300):
        rng = random.Random(seed)
        text = join(lambda rng=rng: rng.choice(pair), rng)  # type: ignore[misc]
        assert text not in pair and repair(text) is None
        said = set(split_words(text)[0])
        both += bool(said & (words[0] - words[1])) and bool(said & (words[1] - words[0]))
    assert both > 60


def test_garbling_keeps_the_words() -> None:
    for seed in range(200):
        text = garble(lambda: "哪根柱子最高？", random.Random(seed))
        assert set(split_words(text)[0]) == {"哪根", "柱子", "最高"}
        assert text != "哪根柱子最高？" and text.endswith("？")
