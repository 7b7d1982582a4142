"""Answers that repeat parts of the prompt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mminf.answer.echo import Echo
from mminf.errors import UnusableAnswer
from mminf.testing import run_step

PROMPT = """Describe the image in detail. Cover the main subjects, the foreground and the background, and state only
what the image shows. Write the paragraph and nothing else.

[Begin of Seed]
{{ seed }}
[End of Seed]

Long caption:"""
ZH = "请仔细观察这张图片，然后用一段话详细描述图片中的主要内容、颜色、位置和背景，不要添加任何看不到的东西。"


def echo(source: str = PROMPT) -> Echo:
    return Echo(source.split("{{ seed }}"), source)


@pytest.mark.parametrize(
    "text",
    [
        "Describe the image in detail. Cover the main subjects, the foreground and the background.",
        "A dog. cover the main subjects, the foreground, and the background and state ONLY what the image shows",
        "A long text about a dog and a cat, and then: the foreground and the background, and state only what the image "
        "shows. Write the paragraph",
        "Write the paragraph and nothing else.",
        "A dog on a lawn. [End of Seed]",
        "[begin of seed] A dog.",
    ],
)
def test_parts_of_the_prompt_are_refused(text: str) -> None:
    with pytest.raises(UnusableAnswer, match="the answer repeats the prompt"):
        echo().refuse({"a": [{"b": text}]})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A dog in the foreground and the background of trees.",
        "The image shows a dog. In the background, and in the foreground, there are trees and the main subjects.",
        "nothing else",
        "What does the image show in detail?",
        "[Begin of Story] A dog.",
    ],
)
def test_other_texts_are_not(text: str) -> None:
    echo().refuse([text, {"n": 1, "m": None}])


def test_chinese_prompts_are_compared_by_characters() -> None:
    assert echo(ZH).find("好的。" + ZH[:30]) is not None
    assert echo(ZH).find(ZH[10:26]) is not None, "a short answer that is a part of the prompt"
    assert echo(f"{ZH}\n【描述开始】").find("【描述开始】一只猫。") is not None
    assert echo(f"{ZH}\n【描述开始】").find("【描述】一只猫。") is None
    assert echo(ZH).find("图片中的主要内容是一只红色的猫，它坐在沙发上，旁边有一个蓝色的球。") is None


def test_values_of_the_record_are_no_part_of_the_prompt() -> None:
    seed = "A dog runs along the beach with a red ball in its mouth and a boy follows it."
    found = run_step("generate", {"engine": "a", "prompt": PROMPT}, {"seed": seed}, answers=[seed])
    assert found == {"response": seed}


def test_the_cue_at_the_end_of_a_prompt_is_removed_from_the_answer() -> None:
    settings, fields = {"engine": "a", "prompt": PROMPT}, {"seed": "x"}
    assert run_step("generate", settings, fields, answers=["Long caption: A dog."]) == {"response": "A dog."}
    with pytest.raises(UnusableAnswer, match="answer is empty"):
        run_step("generate", settings, fields, answers=["Long caption:"])
    assert echo("Seed: {{ seed }}").without_cue("Seed: a") == "Seed: a", "a prompt that ends with a value has no cue"


def test_an_answer_that_repeats_the_prompt_is_retried() -> None:
    with pytest.raises(UnusableAnswer, match="repeats the prompt"):
        run_step(
            "generate", {"engine": "a", "prompt": PROMPT}, {"seed": "x"}, answers=[PROMPT.replace("{{ seed }}", "x")]
        )


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    echo().find(text)
    echo(text).find(PROMPT)
