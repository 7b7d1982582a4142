"""Answers as classifiers write them, and how they are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mminf_plugins.oasis.reading import instructions_in, parse_instruction, read_answer

import mminf
from mminf.errors import UnusableAnswer
from mminf.step import Drop
from mminf.testing import StubGateway, make_step, run_step

from ..conftest import ROOT, read_rows

ASKED = "How many boats lie in the harbour?"
TEXT = f"{ASKED}\nThe water is calm and the sky is grey."
CAPTION = "Three boats lie in a calm harbour under a grey sky."
OPTIONS = "What lies in the harbour? Choose one.\nA. boats\nB. cars\nC. trains"
CHINESE = "港口里有几条船？"
EXAMPLES = instructions_in((ROOT / "templates" / "oasis" / "classify.jinja").read_text())

FOUND = [
    (f"Instruction: {ASKED}", TEXT, ASKED),
    (f"Instruction：{ASKED}", TEXT, ASKED),
    (f"instruction : {ASKED}", TEXT, ASKED),
    (f"**Instruction:** *{ASKED}*", TEXT, ASKED),
    (f"> Instruction: {ASKED}", TEXT, ASKED),
    (f"1. Instruction: {ASKED}", TEXT, ASKED),
    (f"Instruction (extracted): {ASKED}", TEXT, ASKED),
    (f"## Extracted instruction\n\n{ASKED}", TEXT, ASKED),
    (f"Extracted Instruction: “{ASKED}”", TEXT, ASKED),
    (f"The instruction is: {ASKED}", TEXT, ASKED),
    (f"Sure! The text asks something.\n\nInstruction: {ASKED}", TEXT, ASKED),
    (f"```\nInstruction: {ASKED}\n```", TEXT, ASKED),
    (f'```json\n{{"instruction": "{ASKED}"}}\n```', TEXT, ASKED),
    (f"Instruction: {ASKED}<|im_end|>", TEXT, ASKED),
    (f"Instruction: {ASKED} 🚤", TEXT, ASKED),
    (f"<think>Instruction: none?</think>Instruction: {ASKED}", TEXT, ASKED),
    (f"[Begin of Text]\n{TEXT}\n[End of Text]\nAnswer:\nInstruction: {ASKED}", TEXT, ASKED),
    (f"Instruction: {ASKED}\nAnswer: Three.", TEXT, ASKED),
    (f"Instruction: {ASKED} Answer: Three.", TEXT, ASKED),
    (f"Instruction: {ASKED}\nThere are three boats.", f"{ASKED}\nThere are three boats.", ASKED),
    (f"Instruction: {ASKED} There are three boats.", f"{ASKED} There are three boats.", ASKED),
    (f"Instruction: {ASKED}\n\nReasoning: the text asks it.", TEXT, ASKED),
    (f"Instruction: {ASKED}\n(Note: the rest describes.)", TEXT, ASKED),
    (f"Instruction: {ASKED} This is the only question of it all.", TEXT, ASKED),
    (f"Instruction: {ASKED}\n\nI left out the description.", TEXT, ASKED),
    (f"Instruction: {ASKED}\n\n---\nDone.", TEXT, ASKED),
    (f"Instruction 1: {ASKED}\nInstruction 2: Why is it calm?", f"{TEXT} Why is it calm?", ASKED),
    (
        f"Instruction: {ASKED}\n\nExample 7\n[Begin of Text]\nIs it?\n[End of Text]\nAnswer:\nInstruction: Is it?",
        TEXT,
        ASKED,
    ),
    (f"Instruction: {OPTIONS}", f"{OPTIONS}\nIt is boats, so A.", OPTIONS),
    (f"Instruction: {OPTIONS}\nIt is boats, so A.", f"{OPTIONS}\nIt is boats, so A.", OPTIONS),
    (f"Instruction: {OPTIONS}\n\nCorrect answer: A", f"{OPTIONS}\nIt is boats, so A.", OPTIONS),
    (
        "Instruction: Write a loop\n```c\nfor (;;) {}\n```",
        "Write a loop\n```c\nfor (;;) {}\n```\nDone.",
        "Write a loop\n```c\nfor (;;) {}\n```",
    ),
    (
        "Instruction: Is it calm? Explain your answer.",
        "Is it calm? Explain your answer.",
        "Is it calm? Explain your answer.",
    ),
    ("Instruction: Compare the two.\nUse a table.", "Compare the two.\nUse a table.", "Compare the two.\nUse a table."),
    ("Instruction: How many cats are there?", "how many cat are there\nThe sofa is grey.", "How many cats are there?"),
    (
        "Instruction: Can you tell me what this is? I found it in my garden.",
        "Can you tell me what this is? I found it in my garden. It is a beetle.",
        "Can you tell me what this is? I found it in my garden.",
    ),
    ("Instruction: Describe it. A man stands at the pier.", "Describe it. A man stands at the pier.", "Describe it."),
    ("Instruction: Name it.\nThe image shows a pier.", "Name it.\nThe image shows a pier.", "Name it."),
    ("指令：描述这张图片。图中有一只猫。", "描述这张图片。图中有一只猫。", "描述这张图片。"),
    (
        "Instruction: Look closely. The image shows two cats. Which one is older?",
        "Look closely. The image shows two cats. Which one is older?",
        "Look closely. The image shows two cats. Which one is older?",
    ),
    (
        "Instruction: Write a story. A man should be in it. A short text is enough.",
        "Write a story. A man should be in it. A short text is enough.",
        "Write a story. A man should be in it. A short text is enough.",
    ),
    (f"Instruction: {ASKED} → Three", f"{ASKED} → Three", ASKED),
    (f"Instruction: {ASKED} I can see three.", f"{ASKED} I can see three.", ASKED),
    ("Instruction: How many boats lie in the harbour?", "HowMany boats lie in the har bour?", ASKED),
    (f"Instruction: {ASKED} (The rest describes it.)", TEXT, ASKED),
    (f"Instruction: {{{ASKED}}}", TEXT, ASKED),
    (f'"Instruction": "{ASKED}",', TEXT, ASKED),
    (f"“Instruction: {ASKED}”", TEXT, ASKED),
    (f"Instruction: {ASKED}<|im_end|>\n<|im_start|>user\nInstruction: Is it?", TEXT, ASKED),
    (f"Instruction: {ASKED} [End of Text] The water is calm.", TEXT, ASKED),
    (f"Instruction: {ASKED}\nAntwort: Drei.", TEXT, ASKED),
    (f"指令：{CHINESE}", f"{CHINESE}水面平静。", CHINESE),
    (f"提取的指令：{CHINESE}\n\n解释：这是一个问题。", f"{CHINESE}水面平静。", CHINESE),
    (f"答案：\n指令：{CHINESE}有三条船。", f"{CHINESE}水面平静。", CHINESE),
]
NONE = [
    "NO_INST", "no inst", "NO-INST.", "**NO_INST**", "`NO_INST`", '"NO_INST"', "[NO_INST]", "Answer: NO_INST", "```\nNO_INST\n```", "NO_INSTRUCTION",
    "NO_INST - only a description", "NO_INST: the text describes boats.", "NO_INST\n\nInstruction: The text describes boats only",
    "The text only describes a harbour, so the answer is NO_INST.", "There is no request in it. NO_INST", "Instruction: NO_INST (a caption)",
    "Instruction: None", "Instruction: 无", "Instruction: There is no instruction.", '{"instruction": null}', '{"instruction": "NO_INST"}',
    "NO_INST\n\nExample 7\n[Begin of Text]\nIs it?\n[End of Text]\nAnswer:\nInstruction: Is it?", "<think>Instruction: maybe</think>NO_INST", "NO_INST ✅", "Instruction: NO_INST\n\nIt describes boats.",
]  # fmt: skip
REFUSED = [
    "", "Instruction:", "Instruction: **", "Instruction: ...", "Instruction: [an instruction]", "Instruction: N/A", ASKED, f"Question: {ASKED}",
    "The text contains an instruction, so it is not NO_INST.", "NO_INST is not right, since there is a question.", "Yes", "I can't see the image.",
    "I'm sorry, I can't help with that.", f"Instruction: {ASKED}\nNO_INST", f"NO_INST\n\nInstruction: {ASKED}", "Instruction: What is the number of ships at the pier?",
    "Instruction: Please tell me something about vessels.", f"Instruction: {EXAMPLES[0]}", "<think>Instruction: one",
    "Write `Instruction:` and then the instruction, and nothing else. If the text holds no instruction, write only `NO_INST`.",
]  # fmt: skip


@pytest.mark.parametrize(("answer", "sampled", "instruction"), FOUND, ids=range(len(FOUND)))
def test_the_instruction_ends_where_something_else_begins(answer: str, sampled: str, instruction: str) -> None:
    assert parse_instruction(answer, sampled, EXAMPLES) == instruction


@pytest.mark.parametrize("answer", NONE, ids=range(len(NONE)))
def test_captions(answer: str) -> None:
    assert parse_instruction(answer, CAPTION, EXAMPLES) is None


@pytest.mark.parametrize("answer", REFUSED, ids=range(len(REFUSED)))
def test_what_is_neither_is_refused(answer: str) -> None:
    with pytest.raises(UnusableAnswer):
        parse_instruction(answer, TEXT, EXAMPLES)


def test_an_instruction_that_leaves_out_part_of_a_sentence_asks_for_something_else() -> None:
    sampled = "Write a Python function that returns the sum of the numbers in the table."
    with pytest.raises(UnusableAnswer, match="not in the sampled text"):
        parse_instruction("Instruction: Write the sum of the numbers in the table.", sampled)
    joined = "Write the page of this screenshot of settings with a blue header, with the menu on the left."
    source = "A screenshot of settings with a blue header. Write the page of this, with the menu on the left."
    assert parse_instruction(f"Instruction: {joined}", source) == joined, "context may be taken along"


def test_the_examples_of_the_prompt_are_known() -> None:
    assert len(EXAMPLES) == 4
    assert EXAMPLES[0] == "Is the bridge open to traffic?"
    with pytest.raises(UnusableAnswer, match="not in the sampled text|repeated an example"):
        parse_instruction(f"Instruction: {EXAMPLES[2]}", CAPTION, EXAMPLES)
    assert parse_instruction(f"Instruction: {EXAMPLES[0]}", f"{EXAMPLES[0]} It is.", EXAMPLES) == EXAMPLES[0], (
        "if it was sampled"
    )


@given(st.text(max_size=120), st.text(max_size=120))
def test_any_answer_is_read_or_refused(answer: str, sampled: str) -> None:
    try:
        found = parse_instruction(answer, sampled, EXAMPLES)
    except UnusableAnswer as refusal:
        assert len(str(refusal)) < 300
    else:
        assert found is None or found.strip()


WORDS = st.lists(
    st.sampled_from(["which", "boat", "is", "the", "red", "one", "near", "that", "pier", "today"]),
    min_size=3,
    max_size=12,
)


@given(WORDS, WORDS)
@example(["is", "is", "is"], ["which", "is", "is"])
def test_an_instruction_without_a_word_of_the_text_never_passes(asked: list[str], said: list[str]) -> None:
    sampled = " ".join(f"{word[::-1]}{word[::-1]}" for word in said)
    with pytest.raises(UnusableAnswer):
        parse_instruction(f"Instruction: {' '.join(asked)}?", sampled)


@given(st.integers(0, 16), st.sampled_from(["white", "no", "not", "three", "42", "without"]))
def test_one_word_more_or_other_is_refused_in_any_place(place: int, other: str) -> None:
    sampled = "How many of the boats with red sails are lying in the small harbour below the old church?"
    words = sampled.split()
    for asked in ([*words[:place], other, *words[place:]], [*words[:place], other, *words[place + 1 :]]):
        if words[place : place + 1] != ["church?"] and len(asked) > place + 1:
            with pytest.raises(UnusableAnswer):
                parse_instruction(f"Instruction: {' '.join(asked)}", sampled)


def test_a_cut_off_answer_counts_if_the_instruction_was_over() -> None:
    assert read_answer(f"Instruction: {ASKED}\n\nExplanation: it is", TEXT) == (ASKED, True)
    assert read_answer("NO_INST, since the", CAPTION) == (None, True)
    assert not read_answer("Instruction: How many boats lie in", TEXT).ended


def test_cut_off_answers_in_a_run(
    write_recipe: Callable[[str], Path], rows: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mminf.backend.scripted import ScriptedBackend
    from mminf.request import Generation, Request

    asked = []

    async def cut(self: object, request: Request) -> Generation:
        asked.append(request)
        over = "over" in request.turns[0].text.rsplit("[Begin of Text]", 1)[1]
        return Generation(f"Instruction: {ASKED}" + ("\n\nNote: the" if over else ""), "length", 5, 7)

    monkeypatch.setattr(ScriptedBackend, "generate", cut)
    recipe = write_recipe(
        "engines: {e: {backend: scripted, answer: x}}\nsource: {jsonl: rows.jsonl}\n"
        "steps:\n  - classify: {engine: e}\nsinks:\n  - jsonl: out.jsonl\n"
    )
    rows({"id": "over", "sampled_text": f"{TEXT} It is over."}, {"id": "cut", "sampled_text": TEXT})
    result = mminf.run(recipe, output=tmp_path / "out")
    (row,) = read_rows(tmp_path / "out" / "out.jsonl")
    assert (row["id"], row["instruction"]) == ("over", ASKED)
    assert "was truncated after 7 tokens" in str(result.failures[0][2])
    assert len(asked) == 4, "one call for what can be read, three for what can't"
    assert all("\n[Begin of Text]" in request.stop for request in asked)


FORM_WORDS = [
    "Caption this.",
    "Caption this image in one line.",
    "Answer this question.",
    "Complete the description.",
    "描述图片。",
]


@pytest.mark.parametrize("asked", FORM_WORDS)
def test_instructions_in_words_of_the_form_are_read_if_the_text_has_them(asked: str) -> None:
    sampled = f"{CAPTION} {asked}"
    assert parse_instruction(f"Instruction: {asked}", sampled) == asked
    with pytest.raises(UnusableAnswer):
        parse_instruction(f"Instruction: {asked}", "What do the caption, the question and the description say?")


@pytest.mark.parametrize("word", ["caption", "...", "<instruction>", "[the instruction]", "the instruction"])
def test_placeholders_stay_placeholders(word: str) -> None:
    with pytest.raises(UnusableAnswer):
        answer = parse_instruction(f"Instruction: {word}", f"Which {word} is this? Text: the instruction.")
        if answer is None:
            raise UnusableAnswer("NO_INST")


MARKED = [
    'What does the sign "EXIT" say?',
    "What does the sign “EXIT” say?",
    "What is in box [3]?",
    'Copy "A" and "B"',
    "输出 [3] 是什么？",
]


@pytest.mark.parametrize("asked", MARKED)
@pytest.mark.parametrize(
    ("first", "last"),
    [('"', '"'), ("“", "”"), ("[", "]"), ("(", ")"), ("'", "'"), ("<", ">"), ("「", "」"), ("`", "`"), ("**", "**")],
)
def test_added_marks_around_an_instruction_with_marks_are_removed(asked: str, first: str, last: str) -> None:
    assert parse_instruction(f"Instruction: {first}{asked}{last}", f"{CAPTION}\n{asked}") == asked


@pytest.mark.parametrize("name", ["classify", "classify.zh"])
def test_a_copy_of_the_prompt_is_no_answer(name: str) -> None:
    source = (ROOT / "templates" / "oasis" / f"{name}.jinja").read_text(encoding="utf-8")
    for copied in (
        source.replace("{{ sampled_text }}", TEXT),
        source.partition("{{")[0],
        source.partition("{{")[0][:-40],
    ):
        gateway = StubGateway([copied])
        step = make_step("classify", {"engine": "llm", "languages": ["zh"]}, templates=[ROOT / "templates"])
        with pytest.raises(UnusableAnswer):
            run_step(step, None, {"sampled_text": CHINESE if name.endswith("zh") else TEXT}, gateway=gateway)


@pytest.mark.parametrize(
    "answer",
    [
        "NO_INST",
        "NO_INST\n\n[Begin of Text]\nA cat.\n[End of Text]\nAnswer:\nNO_INST",
        "Answer: NO_INST, it only describes the image.",
    ],
)
def test_a_verdict_before_another_example_counts(answer: str) -> None:
    step = make_step("classify", {"engine": "llm"}, templates=[ROOT / "templates"])
    assert isinstance(run_step(step, None, {"sampled_text": CAPTION}, gateway=StubGateway([answer])), Drop)
