"""Lists of questions about a scene, and answers with evidence."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from mminf_plugins.demo.world import explain, is_explained, judge, make_instruction, make_questions, make_scene
from mminf_plugins.demo.world.chinese import in_chinese
from mminf_plugins.demo.world.language import parse
from mminf_plugins.demo.world.questions import is_closed, is_hard, list_questions

from mminf.step import parse_lines

SEEDS = st.integers(0, 10**9)


@settings(deadline=None)
@given(SEEDS, st.booleans(), st.booleans())
def test_five_different_sound_questions(seed: int, hard: bool, chinese: bool) -> None:
    scene = make_scene(seed)
    texts = make_questions(scene, random.Random(seed), hard=hard, chinese=chinese)
    assert len(set(texts)) == len(texts) == 5
    assert all(judge(text, scene).sound and text[-1] in "?？" for text in texts)
    assert all(in_chinese(text) == chinese for text in texts)
    assert parse_lines("\n".join(texts)) == texts, "the recipes' parser reads them"
    forms = [found[0] for text in texts if (found := parse(text)) is not None]
    if hard:
        most = sum(is_hard(form) for form, _ in list_questions(scene))
        assert sum(map(is_hard, forms)) >= min(2, most)
    else:
        assert not any(map(is_closed, forms)), "none is answered by yes or no alone"


@settings(deadline=None)
@given(SEEDS)
def test_all_sound_questions_are_listed(seed: int) -> None:
    scene = make_scene(seed)
    listed = {text for _, text in list_questions(scene)}
    drawn = make_instruction(scene, random.Random(seed))
    assert drawn in listed or drawn.endswith(".")


@settings(deadline=None)
@given(SEEDS, st.booleans())
def test_explained_answers(seed: int, chinese: bool) -> None:
    scene = make_scene(seed)
    asked = make_questions(scene, random.Random(seed), hard=True, chinese=chinese)[0]
    text = explain(asked, scene)
    assert is_explained(text, asked, scene)
    answer = judge(asked, scene).answer
    assert answer is not None and text.endswith(answer)
    assert not is_explained(answer, asked, scene), "an answer without evidence"
    assert not is_explained(text + text, asked, scene)
    assert not is_explained("", asked, scene)
    other = make_scene(seed + 1)
    if explain(asked, scene) != (explain(asked, other) if judge(asked, other).sound else ""):
        assert not is_explained(text, asked, other)
