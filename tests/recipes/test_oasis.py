"""Oasis in two languages, its profiles for models, reasons before scores, and bad answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import mminf

from ..conftest import ROOT
from .conftest import Play

Pictures = Callable[..., list[str]]
OASIS = """
name = request.images[0].uri.rsplit("/", 1)[1].removesuffix(".png") if request.images else ""
if request.open_turn == "user":
    return {"zh": "桌子上的球是什么颜色？", "zhcap": "一只红色的球放在木桌上，旁边有一把椅子。"}.get(name, f"What is {name}?")
if "[Begin of Text]" in text:
    sampled = text.rsplit("[Begin of Text]", 1)[1].split("[End of Text]")[0].strip()
    return f"Instruction: {sampled}" if sampled[-1] in "?？" else "NO_INST"
if "[[1]]" in text:
    return SCORE
return RESPONSE
"""
GOOD = OASIS.replace("SCORE", '"[[5]]"').replace("RESPONSE", '"The ball is red."')


def items(names: list[str]) -> list[dict[str, object]]:
    return [{"id": name.removesuffix(".png"), "images": [name]} for name in names]


def test_prompts_are_in_the_language_of_the_text(play: Play, pictures: Pictures) -> None:
    found = play("oasis", items(pictures("a", "zh")), GOOD)
    assert {row["id"] for row in found.rows["oasis.jsonl"]} == {"a", "zh"}
    judged = [prompt for prompt in found.asked("[Begin of Instruction]") if "颜色" in prompt]
    assert len(judged) == 4
    assert all("请评价" in prompt and "Rate " not in prompt for prompt in judged)
    assert len([prompt for prompt in found.asked("[Begin of Instruction]") if "请评价" not in prompt]) == 4
    assert len(found.asked("请判断这段文字里有没有指令")) == 1


def test_rows_name_their_source(play: Play, pictures: Pictures) -> None:
    (row,) = play("oasis", items(pictures("a")), GOOD).rows["oasis.jsonl"]
    assert row["data_source"] == "oasis"


def test_judged_text_is_delimited_and_followed_by_a_cue() -> None:
    """A server without constrained decoding must not carry the instruction out."""
    for folder, ends in (("oasis", ("Score:", "分数：")), ("oasis_reasoned", ("Reasons:", "理由："))):
        for path in sorted((ROOT / "templates" / folder).glob("*.jinja")):
            if path.name.startswith("classify"):
                continue
            text = path.read_text().rstrip()
            assert "[Begin of Instruction]\n{{ instruction }}\n[End of Instruction]" in text, path.name
            assert text.endswith(ends[path.name.endswith(".zh.jinja")]), path.name
            assert len(max(text.splitlines(), key=len)) > 60, f"{path.name}: lines are not wrapped by hand"


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ('"The ball is large and red.\\n[[5]]"', True),
        ('"Everything can be seen. Score: [[5]]"', True),
        ('"It could be [[4]] or [[5]]."', False),
        ('"[[5]] is for perfect ones, this is [[2]]"', False),
    ],
)
def test_judges_may_reason(play: Play, pictures: Pictures, answer: str, kept: bool) -> None:
    reply = OASIS.replace("SCORE", answer).replace("RESPONSE", '"The ball is red."')
    found = play("oasis", items(pictures("a")), reply, profile="reasoned")
    assert bool(found.rows["oasis.jsonl"]) is kept
    assert len(found.asked("Write one or two sentences with your reasons.")) >= 1


@pytest.mark.parametrize(
    "answer",
    [
        '""',
        '"What is a?"',
        "\"I'm sorry, but I can't help with that.\"",
        '"[[1]], [[2]], [[3]], [[4]], [[5]]"',
        '"Write only the score, as one of [[1]], [[2]], [[3]], [[4]], [[5]]."',
        '"[Begin of Instruction]\\nWhat is a?\\n[End of Instruction]\\nScore:"',
        '"只写分数，格式是 [[1]]、[[2]]、[[3]]、[[4]]、[[5]] 中的一个。"',
    ],
    ids=["empty", "instruction", "refusal", "list", "echo", "echo of the text", "echo in Chinese"],
)
def test_a_score_that_is_none_makes_no_row(play: Play, pictures: Pictures, answer: str) -> None:
    reply = OASIS.replace("SCORE", answer).replace("RESPONSE", '"The ball is red."')
    found = play("oasis", items(pictures("a")), reply)
    assert found.rows["oasis.jsonl"] == []
    assert "a" in found.failed


@pytest.mark.parametrize(
    "answer",
    ['""', "\"I'm sorry, but I can't help with that.\"", '"What is a?"', '"red " * 400'],
    ids=["empty", "refusal", "echo", "repetition"],
)
def test_a_response_that_is_none_makes_no_row(play: Play, pictures: Pictures, answer: str) -> None:
    reply = OASIS.replace("SCORE", '"[[5]]"').replace("RESPONSE", answer)
    found = play("oasis", items(pictures("a")), reply)
    assert found.rows["oasis.jsonl"] == []
    assert "a" in found.failed or "a" in found.dropped


def test_datasets_about_text_are_chosen_by_a_column(play: Play, pictures: Pictures) -> None:
    rows = items(pictures("a", "b"))
    rows = [{**row, "dataset": name} for row, name in zip(rows, ("DocVQA", "coco"), strict=True)]
    found = play("oasis", rows, GOOD, profile="ocr_datasets")
    assert [row["id"] for row in found.rows["oasis.jsonl"]] == ["a"]
    assert found.dropped["b"][0] == "text_dataset"


def test_chinese_captions_get_chinese_requests(play: Play, pictures: Pictures) -> None:
    found = play("oasis_recycling", items(pictures("zhcap")), GOOD)
    (row,) = found.rows["captions.jsonl"]
    request = row["messages"][0]["content"].removeprefix("<image>")
    assert request in (ROOT / "templates/captions/requests.zh.txt").read_text().splitlines()
    assert len(found.asked("这段描述的文字质量")) == 1


def hook_of(**options: Any) -> Any:
    return mminf.load("oasis", **options).steps[0].sampling


def test_bans_and_penalties_are_only_for_models_that_need_them() -> None:
    assert hook_of().ban == ["special"]
    assert hook_of(profile="qwen2.5-vl").ban == ["special", "emoji"]
    assert hook_of(profile="qwen2.5-vl").presence_penalty == 1
    assert hook_of(overrides={"engines.vlm.model": "Qwen/Qwen2.5-VL-3B-Instruct"}).ban == ["special", "emoji"]
    assert hook_of(profile="qwen3-vl").presence_penalty == 0


def test_the_profile_of_the_paper_has_its_settings() -> None:
    recipe = mminf.load("oasis", profile="paper")
    hook = recipe.steps[0]
    assert (hook.sampling.min_tokens, hook.sampling.max_tokens) == (50, 512)
    assert recipe.run.target == 500_000
    assert {engine.model for engine in recipe.engines.values()} == {
        "Qwen/Qwen2-VL-72B-Instruct",
        "Qwen/Qwen2.5-VL-72B-Instruct",
        "Qwen/Qwen2.5-72B-Instruct",
    }
    assert all(engine.tensor_parallel_size == 8 for engine in recipe.engines.values())
    assert {step.config.sampling.max_tokens for step in recipe.steps[1:] if step.engine} == {1024}


def test_models_that_reason_are_asked_not_to() -> None:
    for profile in ("qwen3-vl", "internvl3"):
        assert mminf.load("oasis", profile=profile).engines["vlm"].reasoning == "off"


ASKED = (
    """
import zlib

if "Imagine a person" in text:
    assert request.open_turn is None and len(request.images) == 1
    number = zlib.crc32(request.images[0].digest.encode())
    name = request.images[0].uri.rsplit("/", 1)[1].removesuffix(".png")
    return {"caption": "A red ball lies on a wooden table.", "echo": text.strip()}.get(name, f"Where is {name} in the room?")
"""
    + GOOD
)


def test_asked_needs_no_open_turn_and_says_that_it_is_an_approximation(play: Play, pictures: Pictures) -> None:
    names = [f"thing {number}" for number in range(24)]
    found = play("oasis", items(pictures(*names, "caption", "echo")), ASKED, profile="asked")
    rows = found.rows["oasis.jsonl"]
    assert {row["id"] for row in rows} == set(names)
    assert {row["data_source"] for row in rows} == {"oasis_asked"}
    assert found.dropped["caption"][0] == "classify"
    assert "echo" in found.dropped or "echo" in found.failed, "a copied prompt is no row"
    kinds = {prompt.split("The message is ")[1].split(". ")[0] for prompt in found.asked("Imagine a person")}
    assert len(kinds) > 4, "the kind of the message is drawn for each image"


def test_errors_of_servers_name_recipes_that_work() -> None:
    with pytest.raises(mminf.RecipeError) as caught:
        mminf.load("oasis", overrides={"engines.vlm": {"backend": "openai", "base_url": "http://x/v1", "model": "m", "server": "openai"}})  # fmt: skip
    assert "`asked`" in str(caught.value) and "caption_qa" in str(caught.value)
    mminf.load("oasis", profile="asked", overrides={"engines.vlm": {"backend": "openai", "base_url": "http://x/v1", "model": "m", "server": "openai"}})  # fmt: skip
