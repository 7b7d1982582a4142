"""The prompts of the recipes: what they must say, and that no parser takes them for an answer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import mminf
from mminf.answer.score import parse_score
from mminf.answer.verdict import parse_verdict
from mminf.errors import UnusableAnswer
from mminf.recipe.model import StepLike

from ..conftest import ROOT

NAMES = ("mmevol", "magpie", "magpie_turns", "densefusion", "thinking", "caption", "caption_check", "caption_qa", "prompt_evolve", "match_score", "detailed_instruction")  # fmt: skip
PROFILES = ("caption", "caption_qa", "prompt_evolve", "match_score")
FOLDERS = ("captions", "chains", "densefusion", "evolve", "magpie", "mmevol", "thinking")
PAIRS = [{"question": "What is it?", "answer": "A cat."}]
FIELDS: dict[str, Any] = {
    "images": ["a.png"], "instruction": "What is it?", "response": "It is a cat.", "caption": "A cat.", "part": "A cat.",
    "description": "A cat.", "feedback": "Too short.", "new_instruction": "What animal is it?", "new_response": "It is a cat.",
    "qa": PAIRS, "new_qa": PAIRS, "kind": "format", "raw_thought": "It may be a cat.", "conclusion": "A cat.", "answer": "Cat.",
}  # fmt: skip


def steps(kind: str) -> list[tuple[str, Any]]:
    """The first steps of a kind, in all recipes and their Chinese profiles."""
    found: dict[str, Any] = {}
    for name in NAMES:
        for profile in (None, *(["zh"] if name in PROFILES else [])):
            for step in mminf.load(name, profile=profile).steps:
                inner: StepLike = getattr(step, "inner", step)
                if inner.type == kind and "." not in step.name:
                    found[f"{name}/{profile}/{step.name}"] = inner
    return list(found.items())


def text_of(step: Any) -> str:
    return "\n".join(turn.text for turn in step.turns(mminf.record.Record("x", FIELDS)))


@pytest.mark.parametrize(("name", "step"), steps("score"), ids=lambda value: value if isinstance(value, str) else "")
def test_every_score_has_its_levels_described(name: str, step: Any) -> None:
    low, high = step.config.scale
    text = text_of(step)
    named: set[int] = set()
    for start, end in re.findall(r"^(\d+)(?:-(\d+))?(?: 分)?[:：]", text, re.MULTILINE):
        named |= set(range(int(start), int(end or start) + 1))
    assert named == set(range(low, high + 1)), "each number of the scale has a description"
    assert text.rstrip().endswith(("Score:", "分数："))
    with pytest.raises(UnusableAnswer):
        parse_score(text, low, high)


@pytest.mark.parametrize(("name", "step"), steps("check"), ids=lambda value: value if isinstance(value, str) else "")
def test_the_prompt_of_a_check_is_no_verdict(name: str, step: Any) -> None:
    text = text_of(step)
    assert "Answer with Yes or No and nothing else." in text
    assert text.endswith("Answer:")
    with pytest.raises(UnusableAnswer):
        parse_verdict(text)


@pytest.mark.parametrize(("name", "step"), steps("generate"), ids=lambda value: value if isinstance(value, str) else "")
def test_the_prompt_of_an_extraction_is_no_answer(name: str, step: Any) -> None:
    if step.config.extract is None or step.config.extract.plain_text:
        return  # a plain text is compared with the prompt
    text = text_of(step)
    # A model may copy the whole prompt or its form.
    for copied in (text, *text.split("\n\n")):
        try:
            found = step.written(copied)
        except UnusableAnswer:
            continue
        with pytest.raises(UnusableAnswer, match="repeats the prompt"):
            step.echo.refuse(found)


TEMPLATES = sorted(path for folder in FOLDERS for path in (ROOT / "templates" / folder).glob("*.jinja"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_texts_are_delimited_and_the_prompt_ends_in_a_cue(path: Path) -> None:
    source = path.read_text().strip()
    assert source.count("[Begin of ") == source.count("[End of ")
    assert source.count("开始】") == source.count("结束】")
    if path.parent.name != "captions":  # its text is the request itself
        assert source.endswith((":", "："))


@pytest.mark.parametrize("name", ["score", "score_new"])
def test_both_answers_of_a_prompt_are_rated_alike(name: str) -> None:
    folder = ROOT / "templates/evolve"
    for ending in ("jinja", "zh.jinja"):
        assert (folder / f"score_new.{ending}").read_text().replace("new_", "") == (
            folder / f"score.{ending}"
        ).read_text()


def test_the_models_of_the_paper_are_a_profile_of_thinking() -> None:
    engines = mminf.load("thinking", profile="paper").engines
    assert engines["reasoner"].model == "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B"
    assert {engine.backend for engine in engines.values()} == {"vllm"}
    assert mminf.load("thinking").engines["reasoner"].model == "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"
