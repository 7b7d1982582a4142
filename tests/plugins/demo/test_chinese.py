"""The two languages of the world say the same: translations go there and back, and the oracle judges both alike."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mminf_plugins.demo.world import (
    caption,
    extract,
    is_right,
    is_valid_hook,
    judge,
    make_hook,
    make_instruction,
    make_scene,
    to_chinese,
    to_english,
)
from mminf_plugins.demo.world.chinese import ANSWERS, CAPTIONS, INSTRUCTIONS, chinese_words, in_chinese, segment
from mminf_plugins.demo.world.forms import FORMS, SOUND
from mminf_plugins.demo.world.language import is_answer, is_caption, parse, sentences, split_words
from mminf_plugins.demo.world.oracle import is_instruction

from mminf.language import is_chinese

SEEDS = st.integers(0, 10**9)
PLAIN = ("sound", "absent", "unanswerable", "vague")


def test_every_form_has_a_chinese_sentence() -> None:
    assert {form.text for form in FORMS} == {english for english, _ in INSTRUCTIONS}
    chinese = [pair[1] for pair in (*INSTRUCTIONS, *CAPTIONS, *ANSWERS)]
    assert len(set(chinese)) == len(chinese), "no two sentences have the same translation"


@settings(deadline=None)
@given(SEEDS, st.sampled_from(PLAIN))
def test_instructions_translate_there_and_back(seed: int, quality: str) -> None:
    scene = make_scene(seed)
    english = make_instruction(scene, random.Random(seed), quality)
    chinese = make_instruction(scene, random.Random(seed), quality, chinese=True)
    assert (to_chinese(english), to_english(chinese)) == (chinese, english)
    assert is_chinese(chinese) and is_instruction(chinese)
    assert parse(chinese) == parse(english)
    assert to_chinese(chinese) is None and to_english(english) is None


@settings(deadline=None)
@given(SEEDS, st.sampled_from(PLAIN))
def test_the_oracle_judges_both_languages_alike(seed: int, quality: str) -> None:
    scene = make_scene(seed)
    english = make_instruction(scene, random.Random(seed), quality)
    chinese = to_chinese(english)
    assert chinese is not None
    ours, theirs = judge(english, scene), judge(chinese, scene)
    assert dataclasses.replace(ours, answer=None) == dataclasses.replace(theirs, answer=None)
    if ours.answer is None:
        assert theirs.answer is None
        return
    assert theirs.answer is not None
    assert to_english(theirs.answer) == ours.answer
    assert is_answer(theirs.answer) or is_caption(theirs.answer)
    assert is_right(theirs.answer, chinese, scene)
    assert not is_right(theirs.answer, english, scene), "an answer in the other language is wrong"
    assert not is_right(ours.answer, chinese, scene)


@settings(deadline=None)
@given(SEEDS, st.integers(0, 1))
def test_captions_translate_there_and_back(seed: int, opening: int) -> None:
    scene = make_scene(seed)
    english = caption(scene, opening, random.Random(seed))
    chinese = to_chinese(english)
    assert chinese is not None
    assert to_english(chinese) == english
    assert is_caption(chinese) and is_chinese(chinese) and extract(chinese) is None
    assert is_right(chinese, "请描述这张图片。", scene)
    other = make_scene(seed + 1)
    if caption(other) != caption(scene):
        assert not is_right(chinese, "请描述这张图片。", other)


@settings(deadline=None)
@given(SEEDS)
def test_every_answer_translates_there_and_back(seed: int) -> None:
    scene, rng = make_scene(seed), random.Random(seed)
    answer = judge(make_instruction(scene, rng), scene).answer
    assert answer is not None
    chinese = to_chinese(answer)
    assert chinese is not None and to_english(chinese) == answer


def test_all_answers_of_all_sound_forms_occur() -> None:
    forms = set()
    for seed in range(2000):
        scene = make_scene(seed % 300)
        text = make_instruction(scene, random.Random(seed), chinese=True)
        found = parse(text)
        assert found is not None and judge(text, scene).sound
        forms.add(found[0])
    assert forms == set(SOUND)


@settings(deadline=None)
@given(SEEDS, st.sampled_from((*PLAIN, "garbled", "joined")))
def test_texts_are_segmented_into_known_words(seed: int, quality: str) -> None:
    text = make_instruction(make_scene(seed), random.Random(seed), quality, chinese=True)
    words, mark, space = split_words(text)
    assert space == "" and mark in ("？", "。")
    assert "".join(words) + mark == text
    assert set(words) <= chinese_words()


def test_words_are_read_as_they_are_written() -> None:
    for _, text in INSTRUCTIONS:
        filled = text.format(
            colour="红色", colour2="黑色", shape="三角形", shape2="圆形", place="左上角"
        )  # fmt: skip
        words = [word for word in filled.split() if word not in "？。"]
        assert segment("".join(words)) == words
    assert segment("圆形猫在 HOTEL 吗") == ["圆形", "猫", "在", "HOTEL", "吗"]


@pytest.mark.parametrize(
    ("text", "scores"),  # solvability, clarity, hallucination, nonsense
    [
        ("红色的圆形在在哪里？", (5, 4, 5, 4)),
        ("红色的在圆形哪里？", (5, 4, 5, 3)),
        ("圆形哪里的在红色？", (1, 1, 1, 1)),
        ("红色的圆形在左上角有什么？", (1, 1, 1, 1)),
        ("请写一首关于秋天的诗。", (1, 1, 1, 1)),
        ("红色的正方形在哪里？", (2, 5, 3, 5)),
        ("红色的圆形是谁画的？", (1, 5, 5, 5)),
        ("那另一个呢？", (2, 1, 5, 5)),
        ("的" * 5000, (1, 1, 1, 1)),
    ],
)
def test_defects_are_graded_on_their_axes(text: str, scores: tuple[int, ...]) -> None:
    from .test_oracle import FIGURES

    verdict = judge(text, FIGURES)
    assert (verdict.solvability, verdict.clarity, verdict.hallucination, verdict.nonsense) == scores
    assert not verdict.sound


@pytest.mark.parametrize(
    ("text", "instruction"),
    [
        ("牌子上写着红色的单词HOTEL。", None),
        ("牌子上写着红色的单词HOTEL。牌子上写着什么单词？", "牌子上写着什么单词？"),
        ("牌子上写着什么单词？是HOTEL。", "牌子上写着什么单词？"),
        ("请描述这张图片。", "请描述这张图片。"),
        ("是偶数。", None),
    ],
)
def test_extraction(text: str, instruction: str | None) -> None:
    assert extract(text) == instruction


def test_about_a_fifth_of_the_hooks_are_chinese() -> None:
    hooks = [make_hook(make_scene(seed), random.Random(seed)) for seed in range(3000)]
    chinese = [text for text in hooks if in_chinese(text)]
    assert 0.16 < len(chinese) / len(hooks) < 0.22
    assert all(map(is_valid_hook, hooks))
    for text in chinese:
        assert not any("a" <= char <= "z" for char in text), "a sample has one language"
    for text in [text for text in hooks if not in_chinese(text)]:
        assert all(in_chinese(sentence) is False for sentence in sentences(text))
    assert not is_valid_hook("今天天气很好。")
    assert not is_valid_hook("今天天气好吗？")
    assert is_valid_hook("圆形哪里的在红色？")
