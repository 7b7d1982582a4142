"""MM-INF's chains, with models that answer well and badly. Each defect of the released code has a test here."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from mminf_plugins.chains.leaks import find_leak
from mminf_plugins.chains.parts import split_parts
from mminf_plugins.chains.word_changes import count_changes

import mminf
from mminf.errors import UnusableAnswer
from mminf.step.check import parse_verdict

from ..conftest import ROOT
from .conftest import Play

Pictures = Callable[..., list[str]]


def rows(names: list[str], **more: object) -> list[dict[str, object]]:
    return [{"id": name.removesuffix(".png"), "images": [name], **more} for name in names]


RULE = {
    "en": "Do not guess: leave out anything that is uncertain or only likely.",
    "zh": "不要猜测：不确定或仅仅可能的内容一律不写。",
}


def test_captions_go_with_the_request_that_was_really_sent(play: Play, pictures: Pictures) -> None:
    reply = "return f'A picture: {text}'.split('State only')[0]"
    found = play("caption", rows(pictures("red", "blue", "green")), reply)
    lines = (ROOT / "templates/captions/requests.txt").read_text().splitlines()
    requests = [line for line in lines if line and not line.startswith("#")]
    assert len(set(requests)) == 16
    for row in found.rows["captions.jsonl"]:
        user, assistant = (message["content"] for message in row["messages"])
        assert user.removeprefix("<image>") in requests
        assert assistant == f"A picture: {user.removeprefix('<image>')}"
        assert "guess" not in user


@pytest.mark.parametrize(
    ("recipe", "profile"),
    [("caption", None), ("caption", "zh"), ("caption_check", None), ("caption_qa", None), ("caption_qa", "zh"),
     ("densefusion", None), ("thinking", None)],
)  # fmt: skip
def test_every_prompt_for_a_caption_forbids_guessing(recipe: str, profile: str | None) -> None:
    (caption,) = [step for step in mminf.load(recipe, profile=profile).steps if step.name == "caption"]
    assert ("不要猜测" if profile == "zh" else "Do not guess") in caption.template.source  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["caption", "caption_qa", "caption_check", "allava_laion", "allava_session", "oasis"])
def test_an_image_that_is_not_there_fails_its_record_alone(
    play: Play, pictures: Pictures, tmp_path: Path, name: str
) -> None:
    (tmp_path / "cut.png").write_bytes((tmp_path / pictures("red")[0]).read_bytes()[:60])
    items = [{"id": "none", "images": ["nowhere.png"]}, {"id": "bare", "n": 1}, {"id": "cut", "images": ["cut.png"]}]
    found = play(name, [*items, {"id": "empty", "images": []}], "return 'never asked'")
    assert set(found.failed) == {"none", "bare", "cut", "empty"}
    assert "nowhere.png" in found.failed["none"]
    assert "cut.png" in found.failed["cut"]
    assert not found.calls


QUESTIONS = """
if text.endswith("Questions:"):
    return {
        "red": "Here are five questions:\\n\\n1. What is red?\\n2. **Why is it red?**\\n\\nI hope this helps!",
        "blue": "\\n".join(f"{n}) Is this question {n}?" for n in range(1, 41)),
        "green": "There is nothing to ask.",
        "white": "What is white?",
    }[text.rsplit("A picture of ", 1)[1].split()[0]]
if "State only" in text:
    return "A picture of " + request.images[0].uri.rsplit("/", 1)[1].removesuffix(".png")
return f"Because of {text}"
"""


def test_numbers_and_preambles_are_no_questions(play: Play, pictures: Pictures) -> None:
    found = play("caption_qa", rows(pictures("red", "blue", "green", "white")), QUESTIONS)
    written = found.rows["caption_qa.jsonl"]
    assert [(row["id"], row["messages"][0]["content"]) for row in written] == [
        ("red/0", "<image>What is red?"),
        ("red/1", "<image>Why is it red?"),
        ("white/0", "<image>What is white?"),
    ], "a question is a row with an id of its own, one is enough"
    assert {row["caption"] for row in written} == {"A picture of red", "A picture of white"}
    assert all(row["messages"][1]["content"].startswith("Because of ") for row in written)
    assert found.failed["blue"].startswith("ask: 40 items that match '[?？]', not 1 to 8, in '1) Is this question 1?")
    assert found.failed["green"].startswith("ask: 0 items that match '[?？]', not 1 to 8, in ")


CHECK = """
if "one part of a description" in text:
    part = text.rsplit("[Begin of Part]", 1)[1].split("[End of Part]")[0]
    return {"a": "Yes", "b": "No", "c": "**Yes.**", "d": "Correct."}[part.strip()[-2]]
name = request.images[0].uri.rsplit("/", 1)[1].removesuffix(".png")
return {"red": "Part a.\\n\\nPart c.", "blue": "Part a.\\n\\nPart b.\\n\\nPart c.\\n\\nPart d.", "green": "Part d."}[name]
"""


def test_one_false_part_drops_its_caption_and_no_other(play: Play, pictures: Pictures) -> None:
    """The released code never kept anything again behind the first bad paragraph, and took "Correct." for wrong."""
    found = play("caption_check", rows(pictures("blue", "red", "green")), CHECK)
    assert [row["id"] for row in found.rows["captions.jsonl"]] == ["red", "green"]
    false = found.rows["false_captions.jsonl"][0]
    assert [part["holds"] for part in false["parts"]] == [True, False, True, True]


def test_a_caption_can_be_mended_instead(play: Play, pictures: Pictures) -> None:
    found = play("caption_check", rows(pictures("blue", "red")), CHECK, profile="mend")
    captions = {row["id"]: row["messages"][1]["content"] for row in found.rows["captions.jsonl"]}
    assert [part["part"] for part in found.rows["captions.jsonl"][0]["false_parts"]] == ["\n\nPart b."]
    assert captions == {"blue": "Part a.\n\nPart c.\n\nPart d.", "red": "Part a.\n\nPart c."}


def test_a_caption_of_which_nothing_is_true_is_kept_apart(play: Play, pictures: Pictures) -> None:
    reply = "return 'No' if 'one part of' in text else 'One. Two.'"
    found = play("caption_check", rows(pictures("red")), reply, profile="mend")
    assert found.rows["captions.jsonl"] == []
    assert len(found.rows["false_captions.jsonl"][0]["false_parts"]) == 1


def test_a_part_that_can_not_be_judged_does_not_count_as_true(play: Play, pictures: Pictures) -> None:
    reply = "return 'I would rather not say.' if 'one part of' in text else 'One. Two.'"
    found = play("caption_check", rows(pictures("red")), reply)
    assert found.rows["captions.jsonl"] == []
    assert "item 1 of parts: the judge said neither of Yes and No" in found.failed["red"]


@pytest.mark.parametrize(
    ("text", "sentences", "parts"),
    [
        ("One. Two. Three. Four.", 3, ["One. Two. Three.", " Four."]),
        ("One.\n\nTwo.\n  \nThree.", 3, ["One.", "\n\nTwo.", "\n  \nThree."]),
        ("Dr. Smith stands at St. Mary. He waves.", 1, ["Dr. Smith stands at St. Mary.", " He waves."]),
        ("It is 3.5 m wide, e.g. wide. Yes!", 1, ["It is 3.5 m wide, e.g. wide.", " Yes!"]),
        ("一只猫。两只狗！三只鸟？", 2, ["一只猫。两只狗！", "三只鸟？"]),
        ("no full stop", 3, ["no full stop"]),
        ('"Stop." It says.', 1, ['"Stop."', " It says."]),
        ("", 3, []),
    ],
)
def test_texts_are_cut_without_loss(text: str, sentences: int, parts: list[str]) -> None:
    assert split_parts(text, sentences) == parts
    assert "".join(parts) == text


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Yes", True), ("yes.", True), ("**Yes**", True), ("No", False), ("NO!", False), ("Correct.", True),
        ("Incorrect.", False), ("Yes, it is no problem.", True), ("The cat is there.\n\nAnswer: no", False),
        ("是", True), ("否", False), ("不正确。", False), ("不是", False), ("正确", True), ("Not correct", False), ("Not true.", False), ("对", True), ("Correct answer is B, but C was given, so: No.", False),
    ],
)  # fmt: skip
def test_verdicts_as_judges_write_them(text: str, verdict: bool) -> None:
    assert parse_verdict(text) is verdict


@pytest.mark.parametrize(
    "text",
    [
        "", "Maybe", "It could be yes or no.", "Nobody knows.", "This is not true of the image.", "That isn't right.",
        "Partly correct.", "Yes and no.", "The statement is not entirely correct.", "不完全正确", "Yes, but no.\n\nAnswer: no",
        "The given answer does not match the right answer.", "图中没有狗，但是有一只猫。", "不一致，正确答案为5",
    ],
)  # fmt: skip
def test_what_is_no_verdict_is_asked_again(text: str) -> None:
    with pytest.raises(UnusableAnswer):
        parse_verdict(text)


def test_requests_are_one_line_and_give_nothing_away(play: Play, pictures: Pictures) -> None:
    names = pictures("red", "blue", "green")
    items = [{**row, "description": f"All is {row['id']}."} for row in rows(names)]
    reply = """
    if "red" in text: return 'Request:\\n"What colour is all of it?"'
    if "blue" in text: return "What does the description say about blue?"
    return "First?\\nSecond?"
    """
    found = play("detailed_instruction", items, reply)
    row = found.rows["detailed_instruction.jsonl"][0]
    assert [message["content"] for message in row["messages"]] == ["<image>What colour is all of it?", "All is red."]
    assert found.dropped["blue"] == ("no_leak", "instruction refers to its source: 'the description'")
    assert found.failed["green"] == "request: 2 items, not 1, in 'First? Second?' (3 attempts)"


@pytest.mark.parametrize(
    "text",
    [
        "Based on the image caption, the cat is red.", "The caption mentions a cat.", "according to this description",
        "What does the provided text say? the given text", "The text states that", "as mentioned in the text",
        "根据描述，猫是红色的", "从描述中可以看出", "描述中没有提到", "根据文字描述，", "According to the detailed description,",
        "The scene description says", "the provided detailed caption", "The text says that it is red.",
        "Based on the provided information, it is red.", "根据图片描述，猫是红色的。", "描述中提到一只猫", "The image description says",
    ],
)  # fmt: skip
def test_talk_of_the_source_is_seen(text: str) -> None:
    assert find_leak(text)


@pytest.mark.parametrize(
    "text",
    [
        "Describe the cat.", "What does the text on the sign say?", "The text is written in red.", "Read the text aloud.",
        "Write a caption for this picture.", "A description of what happens next would be welcome.", "图片里有一只猫。",
        "Which passage leads to the yard?", "图片描述了一个男孩在跑步。", "该图像描述的是一个男孩。", "Light falls into the passage.",
    ],
)  # fmt: skip
def test_talk_of_text_in_an_image_is_no_leak(text: str) -> None:
    assert not find_leak(text)


THINK = """
uri = request.images[0].uri if request.images else ""
kind = next(name for name in ("slow", "wrong", "other", "leaky", "fine") if f"kind-{name}" in text or f"/{name}.png" in uri)
if "for a person who cannot see it" in text:
    return f"A picture of kind-{kind}."
if "Think step by step" in text:
    if kind == "slow" and request.seed % 3:
        return "<think>It never ends, kind-slow"
    if kind == "leaky":
        return "<think>The description says kind-leaky.</think>\\n\\nThe caption mentions two, kind-leaky."
    return f"<think>\\nThe description says kind-{kind}.\\n</think>\\n\\nTwo, kind-{kind}."
if "Copy the thoughts" in text:
    if kind == "other":
        return "I thought of something else entirely, which has nothing to do with what there was before, you see, kind-other."
    thought = text.rsplit("[Begin of Thoughts]", 1)[1].split("[End of Thoughts]")[0].strip()
    thought = thought.replace("The description says", "In the image I see")
    dressed = {0: f"Here are the changed thoughts:\\n\\n{thought}", 1: f"<think>\\n{thought}\\n</think>",
               2: f"**Changed thoughts:**\\n\\n{thought}"}
    return dressed.get(request.seed % 4 if request.sampling.temperature else request.seed % 2, thought)
return "**No**, it is another number." if kind == "wrong" else "**Yes**"
"""


def test_thoughts_are_rewritten_and_verified_the_right_way_round(play: Play, pictures: Pictures) -> None:
    kinds = ("slow", "wrong", "other", "leaky", "fine")
    names = pictures(*kinds)
    items = [
        {"id": kind, "images": [name], "instruction": "How many?", "answer": f"gold kind-{kind}"}
        for kind, name in zip(kinds, names, strict=True)
    ]
    found = play("thinking", items, THINK, **{"steps.reason.attempts": 40, "steps.rewrite.attempts": 40})
    written = {row["id"]: row for row in found.rows["thinking.jsonl"]}
    assert set(written) == {"slow", "fine"}, found
    response = "<think>\nIn the image I see kind-fine.\n</think>\n\nTwo, kind-fine."
    assert written["fine"]["messages"][1]["content"] == response
    assert found.dropped["leaky"][0] == "no_leak"
    assert found.dropped["wrong"] == ("keep", "right is false")
    assert re.fullmatch(r"word_changes \d+(\.\d+)? > 15", found.dropped["other"][1])
    # The released code showed the model's answer as the right one.
    verified = next(prompt for prompt in found.asked("[Begin of Given Answer]") if "kind-fine" in prompt)
    assert "[Begin of Correct Answer]\ngold kind-fine\n[End of Correct Answer]" in verified
    assert "[Begin of Given Answer]\nTwo, kind-fine.\n[End of Given Answer]" in verified
    assert {row["id"] for row in found.rows["wrong.jsonl"]} == {"wrong", "other"}
    assert not any("gold" in prompt for prompt in found.asked("Think step by step")), "who thinks knows no answer"


@pytest.mark.parametrize(
    ("one", "other", "changes"),
    [
        ("The cup is red.", "the cup is RED", 0),
        ("The description says the cup is red", "In the image the cup is red", 3),
        ("a b c", "a c", 1),
        ("图中有一只猫", "图中有一只狗", 1),
        ("", "two words", 2),
        ("wait let me check this " * 4000, "wait let me verify this " * 4000, 4000),
    ],
)
def test_changed_words_are_counted(one: str, other: str, changes: int) -> None:
    assert count_changes(one, other) == changes


EVOLVE = """
if text.endswith(("Score:", "分数：")):
    return "[[8]]" if "answer to better" in text else "[[5]]" if "answer to worse" in text else "[[6]]"
if text.endswith(("Criticism:", "批评：")):
    return "It lacks detail."
if "<prompt>" in text:
    return "<prompt>worse</prompt>" if "(b)" in text else "Here: <prompt>better</prompt>"
return f"answer to {text}"
"""


def test_the_better_of_old_and_new_prompt_is_kept(play: Play, pictures: Pictures) -> None:
    names = pictures("red", "blue")
    items = [{**row, "instruction": f"prompt ({row['id'][0]})"} for row in rows(names)]
    found = play("prompt_evolve", items, EVOLVE)
    written = {row["id"]: row for row in found.rows["prompt_evolve.jsonl"]}
    assert [m["content"] for m in written["red"]["messages"]] == ["<image>better", "answer to better"]
    assert (written["red"]["rating"], written["red"]["first_rating"], written["red"]["original"]) == (
        8,
        6,
        "prompt (r)",
    )
    assert [m["content"] for m in written["blue"]["messages"]] == ["<image>prompt (b)", "answer to prompt (b)"]
    assert written["blue"]["rating"] == 6


def test_prompts_evolve_for_several_rounds_and_in_chinese(play: Play, pictures: Pictures) -> None:
    items = [{**row, "instruction": "prompt (r)"} for row in rows(pictures("red"))]
    found = play("prompt_evolve", items, EVOLVE, profile="zh", **{"steps.repeat.times": 2})
    assert len(found.asked("新的提示词：")) == 2
    assert found.rows["prompt_evolve.jsonl"][0]["rating"] == 8
    assert all(any("\u4e00" <= char <= "\u9fff" for char in prompt) for prompt in found.asked("提示词"))


@pytest.mark.parametrize("said", ["8/10", "Score: 8 out of 10", "[[8]]", "**8** of 10", "评分：8分（满分10分）"])
def test_scores_out_of_ten_are_not_ten(play: Play, pictures: Pictures, said: str) -> None:
    """The released code took the last number, and stored none."""
    found = play("match_score", rows(pictures("red"), instruction="what?", response="this"), f"return {said!r}")
    assert found.rows["match_score.jsonl"][0]["match"] == 8


def test_half_points_are_no_score(play: Play, pictures: Pictures) -> None:
    found = play("match_score", rows(pictures("red"), instruction="what?", response="this"), "return '[[8.5]]'")
    assert "no score from 1 to 10" in found.failed["red"]
