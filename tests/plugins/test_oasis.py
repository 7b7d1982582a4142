from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from mminf_plugins.oasis.classify import parse_instruction

import mminf
from mminf.errors import UnusableAnswer

from ..conftest import read_rows


@pytest.mark.parametrize(
    ("text", "instruction"),
    [
        ("Instruction: Is it open?", "Is it open?"),
        ("Instruction:In the image, what is it?", "In the image, what is it?"),
        ("  Instruction: Is it open?", "Is it open?"),
        ("**Instruction:** Is it open?", "Is it open?"),
        ("**Instruction**: Is it open?", "Is it open?"),
        ("Answer:\nInstruction: Is it open?", "Is it open?"),
        ("Answer: Instruction: Is it open?", "Is it open?"),
        ("instruction： 这是什么？", "这是什么？"),
        ("Instruction: [Is it open?]", "Is it open?"),
        ("Instruction: Which?\nA. one\nB. two", "Which?\nA. one\nB. two"),
        ("Instruction: Which?\n[Begin of Text]\nsomething else", "Which?"),
        ("NO_INST", None),
        ("Answer: **NO_INST**", None),
        ("Instruction: NO_INST", None),
    ],
)
def test_instructions_as_classifiers_write_them(text: str, instruction: str | None) -> None:
    assert parse_instruction(text) == instruction


@pytest.mark.parametrize("text", ["", "Is it open?", "Instruction:", "Instruction: **"])
def test_what_is_neither_is_asked_again(text: str) -> None:
    with pytest.raises(UnusableAnswer):
        parse_instruction(text)


def test_the_whole_recipe(images: Path, scripted_oasis: list[str], tmp_path: Path, calls_log: Path) -> None:
    result = mminf.run("oasis", input=images, output=tmp_path / "out", settings=scripted_oasis)
    rows = read_rows(tmp_path / "out" / "oasis.jsonl")
    captions = read_rows(tmp_path / "out" / "captions.jsonl")
    assert result.counts.failed == result.counts.pending == 0
    assert (len(rows), result.counts.done + result.counts.dropped) == (result.counts.done, 12)
    assert rows and captions, "the script samples instructions and captions"
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)  # type: ignore[type-var]
    for row in rows:
        messages = row["messages"]
        assert messages[0]["content"].startswith("<image>What is shown")  # type: ignore[index]
        assert messages[1]["content"].startswith("An answer to")  # type: ignore[index]
        assert Path(row["images"][0]).is_file()  # type: ignore[index]
    assert all(row["kind"] == "caption" and row["sampled_text"] == "A picture of things." for row in captions)


def test_hook_penalties_apply_to_qwen2_5_vl_only() -> None:
    name = "engines.vlm.model"
    plain = mminf.load("oasis").steps[0]
    drifting = mminf.load("oasis", overrides={name: "Qwen/Qwen2.5-VL-7B-Instruct"}).steps[0]
    assert (plain.sampling.frequency_penalty, plain.sampling.presence_penalty) == (0, 0)
    assert (drifting.sampling.frequency_penalty, drifting.sampling.presence_penalty) == (1, 1)
    assert plain.describe() != drifting.describe()
    assert plain.sampling.min_tokens == 2


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ((3, 4, 5, 5), True),
        ((4, 3, 5, 5), True),
        ((3, 3, 5, 5), False),
        ((2, 5, 5, 5), False),
        ((5, 2, 5, 5), False),
        ((5, 5, 4, 5), False),
        ((5, 5, 5, 4), False),
    ],
)
def test_thresholds_are_those_of_the_released_code(scores: tuple[int, ...], kept: bool) -> None:
    keep = next(step for step in mminf.load("oasis").steps if step.name == "keep")
    fields = dict(zip(("solvability", "clarity", "hallucination", "nonsense"), scores, strict=True))
    assert keep.expression.test(fields) is kept


def test_the_classifier_reads_the_field_that_it_is_given(
    rows: Callable[..., Path], write_recipe: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(
        "def answer(request):\n"
        "    text = request.turns[-1].text\n"
        "    return 'Instruction: Is it red?' if 'Is it red?' in text else 'Instruction: Is it blue?'\n"
    )
    rows({"id": "x", "text": "Is it red? It is.", "sampled_text": "Is it blue?"})
    recipe = write_recipe(
        f"engines: {{llm: {{backend: scripted, script: {tmp_path}/script.py}}}}\n"
        "source: {jsonl: rows.jsonl}\n"
        "steps: [{classify: {engine: llm, reads: text, writes: found}}]\n"
        "sinks: [{jsonl: out.jsonl}]\n"
    )
    assert mminf.load(recipe).steps[0].reads == {"text"}
    mminf.run(recipe, output=tmp_path / "out")
    assert read_rows(tmp_path / "out" / "out.jsonl")[0]["found"] == "Is it red?"
