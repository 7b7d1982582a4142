"""ALLaVA's styles: one call, a session, given questions, text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from mminf_plugins.allava.distil import _chosen

from mminf.errors import UnusableAnswer

from ..conftest import ROOT
from .conftest import Play

Pictures = Callable[..., list[str]]


@pytest.mark.parametrize("question", ["How many rats are on the sofa?", "Why isn't the cat on the sofa?"])
def test_a_question_with_another_word_is_not_the_candidate(question: str) -> None:
    candidates = ["How many cats are on the sofa?", "Why is the cat on the sofa?"]
    assert _chosen("how many cats are on the sofa", candidates) == candidates[0]
    with pytest.raises(UnusableAnswer, match="is not one of the candidates"):
        _chosen(question, candidates)


WHOLE = """<start of description>
A {0}.
<end of description>
<start of candidate questions>
1. Q1?
2. Q2?
3. Q3?
4. Q4?
5. Why {0}?
<end of candidate questions>
<start of question>
5. Why {0}?
<end of question>
<start of answer>
Because {0}.
<end of answer>"""

LAION = f"""
name = request.images[0].uri.rsplit("/", 1)[1].removesuffix(".png")
whole = {WHOLE!r}.format(name)
if name == "few":
    return whole.replace("2. Q2?\\n", "")
if name == "cut":
    return whole.split("<end of answer>")[0]
if name == "empty":
    return whole.replace("Because empty.", " ")
if name == "late" and request.seed % 2:
    return "I can't help with that."
return whole
"""


def items(names: list[str], **more: object) -> list[dict[str, object]]:
    return [{"id": name.removesuffix(".png"), "images": [name], **more} for name in names]


def test_all_parts_or_nothing(play: Play, pictures: Pictures) -> None:
    rows = items(
        pictures("good", "cut", "empty", "late", "few"), original_caption="SECRET", url="http://example.org/a.jpg"
    )
    rows += [
        {"id": "plain", "images": pictures("plain")},
        {"id": "small", "images": pictures("small", size=(511, 900))},
    ]
    found = play("allava_laion", rows, LAION, **{"steps.distil.attempts": 20})
    captions, instructions = found.rows["caption.json"], found.rows["instruct.json"]
    names = ["good", "late", "plain"]
    assert [row["id"] for row in captions] == [f"allava_laion_cap_{name}" for name in names]
    assert [row["id"] for row in instructions] == [f"allava_laion_inst_{name}" for name in names], (
        "the same n links both"
    )
    assert "no <answer>" in found.failed["cut"]
    assert "4 candidate questions, not 5" in found.failed["few"]
    assert "no <answer>" in found.failed["empty"]
    assert found.dropped["small"][1] == "short_side 511 < 512"
    assert captions[0]["conversations"][1]["value"] == "A good."
    assert instructions[0]["conversations"] == [
        {"from": "human", "value": "<image>\nWhy good?"},
        {"from": "gpt", "value": "Because good."},
    ]
    assert captions[0]["original_caption"] == instructions[0]["original_caption"] == "SECRET"
    assert captions[0]["url"] == "http://example.org/a.jpg"
    assert "url" not in captions[2]
    assert not found.asked("SECRET")
    assert not found.asked("example.org")
    lines = (ROOT / "templates/allava/requests.txt").read_text().splitlines()
    requests = [line for line in lines if line and not line.startswith("#")]
    assert len(set(requests)) == 15
    assert {row["conversations"][0]["value"].removeprefix("<image>\n") for row in captions} <= set(requests)


SESSION = """
turns = [turn.role for turn in request.turns]
name = request.images[0].uri.rsplit("/", 1)[1].removesuffix(".png")
if len(turns) == 1:
    return special.get("describe") or f"A {name}."
if len(turns) == 3:
    assert request.turns[1].text == f"A {name}."
    few = "Q1?\\nQ2?" if name == "few" else special.get("ask")
    return few or "\\n".join(f"{n}. Question {n}?" for n in range(1, 6))
assert turns == ["user", "assistant", "user", "assistant", "user"], turns
asked = text.rsplit("[Begin of Question]\\n", 1)[1].split("\\n[End of Question]")[0]
assert asked in request.turns[3].text
return special.get("answer") or "Answer to " + asked
"""


def session(**special: str) -> str:
    return f"special = {special!r}\n{SESSION}"


def test_a_session_sees_its_earlier_turns_and_draws_its_question(play: Play, pictures: Pictures) -> None:
    names = [f"p{n}" for n in range(24)]
    found = play("allava_session", items(pictures(*names, "few")), session())
    assert found.failed == {"few": "ask: 2 items that match '[?？]', not 5, in 'Q1? Q2?' (3 attempts)"}
    pairs = [[turn["value"] for turn in row["conversations"]] for row in found.rows["instruct.json"]]
    assert len(pairs) == 24
    assert {user for user, _ in pairs} == {f"<image>\nQuestion {n}?" for n in range(1, 6)}, "all five get their turn"
    assert all(answer == "Answer to " + user.removeprefix("<image>\n") for user, answer in pairs)
    assert len(found.calls) == 24 * 3 + 1 + 3


def test_given_questions_stay_as_they_are(play: Play, pictures: Pictures) -> None:
    reply = """
    assert "I can't answer this question" in text and "without bias" in text
    if "```question\\nWho?" in text:
        return "<start of description>A cat.</end of description><start of detailed answer>I would rather not say."
    return "<start of description>A cat.<end of description>\\n<start of detailed answer>It is red.<end of detailed answer>"
    """
    rows = [
        {"id": "0", "images": pictures("red"), "instruction": "What colour?", "response": "OLD"},
        {"id": "1", "images": pictures("red"), "instruction": "Who?"},
    ]
    found = play("allava_vflan", rows, reply)
    assert found.rows["instruct.json"] == [
        {
            "id": "allava_vflan_inst_0",
            "image": found.rows["instruct.json"][0]["image"],
            "conversations": [
                {"from": "human", "value": "<image>\nWhat colour?"},
                {"from": "gpt", "value": "It is red."},
            ],
        }
    ]
    assert found.rows["caption.json"][0]["conversations"][1]["value"] == "A cat."
    assert list(found.failed) == ["1"]
    assert not found.asked("OLD")


def test_text_is_answered_anew(play: Play) -> None:
    rows = [{"id": "a", "instruction": "Say hi.", "response": "OLD"}, {"id": "b", "instruction": ""}, {"id": "c"}]
    found = play("allava_text", rows, "return f'New: {text}'")
    assert [[m["content"] for m in row["messages"]] for row in found.rows["allava_text.jsonl"]] == [
        ["Say hi.", "New: Say hi."]
    ]
    assert set(found.failed) == {"b", "c"}
    assert json.dumps(found.calls).count("OLD") == 0


DECLINE = "I can't describe this image."


@pytest.mark.parametrize("name", ["laion", "vflan", "describe"])
def test_description_prompts_ask_for_no_bias_and_allow_to_decline(name: str) -> None:
    text = (ROOT / "templates" / "allava" / f"{name}.jinja").read_text()
    assert all(word in text for word in ("unbiased", "gender", "occupation", "violent", "private data", DECLINE))


@pytest.mark.parametrize("name", ["laion", "ask"])
def test_what_must_not_be_asked_is_said_in_the_prompt(name: str) -> None:
    text = (ROOT / "templates" / "allava" / f"{name}.jinja").read_text()
    assert all(word in text for word in ("violence", "advertises", "privacy", "discomfort", "valuable", "inspection"))


def test_the_turns_of_a_session_have_a_common_prefix() -> None:
    describe, ask, answer = ((ROOT / f"templates/allava/{n}.jinja").read_text() for n in ("describe", "ask", "answer"))
    assert ask.startswith(describe) and answer.startswith(ask)


@pytest.mark.parametrize(
    "answer",
    [
        DECLINE,
        "I can’t describe this image.",
        "I cannot describe this image, because it is violent.",
        "I'm sorry, but I can't describe this image.",
        f"<start of description>\n{DECLINE}\n<end of description>",
    ],
)
@pytest.mark.parametrize("recipe", ["allava_laion", "allava_vflan"])
def test_an_image_that_must_not_be_described_is_dropped_after_one_call(
    play: Play, pictures: Pictures, recipe: str, answer: str
) -> None:
    found = play(recipe, items(pictures("a"), instruction="What is it?"), f"return {answer!r}")
    assert found.dropped["a"] == ("distil", f"the answer is {' '.join(answer.split())!r}")
    assert len(found.calls) == 1
    assert not found.rows["caption.json"] and not found.rows["instruct.json"]


def test_an_image_that_must_not_be_described_ends_its_session(play: Play, pictures: Pictures) -> None:
    found = play("allava_session", items(pictures("a")), session(describe=DECLINE))
    assert found.dropped["a"][0] == "refused_caption"
    assert len(found.calls) == 1


ZH = "这张图片展示了一只坐在沙发上的红色小猫，旁边放着一个蓝色的皮球和一本打开的书。"
PARTS = ("caption", "question", "answer")


def laion(caption: str = "A cat.", question: str = "5. Why is it?", answer: str = "Because of it.") -> str:
    first = "\n".join(f"{n}. Q{n}?" for n in range(1, 5))
    return (
        WHOLE.replace("A {0}.", caption)
        .replace("Because {0}.", answer)
        .replace("5. Why {0}?", question)
        .replace("1. Q1?\n2. Q2?\n3. Q3?\n4. Q4?", first)
    )


FORM = (ROOT / "templates/allava/laion.jinja").read_text().split("in exactly this form:\n\n")[1].split("\n\nYour")[0]


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        ("", "answer is empty"),
        ("I'm sorry, but I can't assist with that.", "no <description>"),
        (FORM, "only a placeholder"),
        (laion()[:-30], "no <answer>"),
        (laion(caption="I'm sorry, but I can't help with that."), "refusal"),
        (laion(answer="I can't answer this question."), "refusal"),
        (laion(caption=ZH), "language"),
        (laion(question="5. " + ZH + "？"), "language"),
        (laion(answer=ZH), "language"),
        (laion(answer="Why is it?"), "degenerate"),
        (laion(caption="Describe the image in as much detail as possible. Write five candidate questions, each about a"), "repeats the prompt"),
        (laion(caption="A cat. A cat. " * 20), "degenerate"),
    ],
)  # fmt: skip
def test_bad_answers_are_no_rows(play: Play, pictures: Pictures, answer: str, end: str) -> None:
    found = play("allava_laion", items(pictures("a")), f"return {answer!r}")
    assert not found.rows["caption.json"] and not found.rows["instruct.json"]
    assert end in (found.failed.get("a") or found.dropped["a"][0]), (found.failed, found.dropped)


def test_a_truncated_answer_is_retried_even_if_all_its_tags_are_closed(play: Play, pictures: Pictures) -> None:
    found = play("allava_laion", items(pictures("a")), f"return Cut({laion()!r})")
    assert "truncated" in found.failed["a"]
    assert len(found.calls) == 3
    assert play("allava_laion", items(pictures("a")), f"return {laion()!r}").rows["instruct.json"]


def test_questions_may_have_several_lines(play: Play, pictures: Pictures) -> None:
    answer = (
        WHOLE.replace("1. Q1?", "1. **Look at the sign.**\n   What does it say,\n   and why?")
        .replace("2. Q2?", "2. Which of these can be seen?\n- a cat\n- a dog")
        .replace("5. Why {0}?\n<end of question>", "Look at the sign.\nWhat does it say, and why?\n<end of question>")
    )
    found = play("allava_laion", items(pictures("a")), f"return {answer!r}")
    (row,) = found.rows["instruct.json"]
    assert row["conversations"][0]["value"] == "<image>\nLook at the sign. What does it say, and why?"


def test_two_chosen_questions_are_refused(play: Play, pictures: Pictures) -> None:
    answer = WHOLE.replace("5. Why {0}?\n<end of question>", "4. Q4?\n5. Why {0}?\n<end of question>")
    found = play("allava_laion", items(pictures("a")), f"return {answer!r}")
    assert "is not one of the candidates" in found.failed["a"]


def test_questions_of_a_session_may_have_several_lines(play: Play, pictures: Pictures) -> None:
    asked = (
        "Here they are:\n" + "\n".join(f"{n}. Look at part {n}.\n   What is it?" for n in range(1, 6)) + "\n\nEnjoy!"
    )
    found = play("allava_session", items(pictures("a")), session(ask=asked))
    (row,) = found.rows["instruct.json"]
    assert row["conversations"][0]["value"] in {f"<image>\nLook at part {n}. What is it?" for n in range(1, 6)}


@pytest.mark.parametrize(
    ("special", "end"),
    [
        ({"describe": " "}, "answer is empty"),
        ({"describe": ZH}, "caption_language"),
        ({"describe": "Describe the image in detail. - Cover the main subjects, the foreground and the background, colours, text."}, "repeats the prompt"),
        ({"ask": "I'm sorry, but I can't help with that."}, "0 items"),
        ({"ask": "Write a numbered list of the five questions, and nothing else."}, "0 items"),
        ({"ask": "1. ...?\n2. ...?\n3. ...?\n4. ...?\n5. ...?"}, "only a placeholder"),
        ({"ask": "\n".join(f"{n}. {ZH}{n}？" for n in range(5))}, "language"),
        ({"answer": "I can't answer this question."}, "refusal"),
        ({"answer": ZH}, "language"),
        ({"answer": "Question 1? Question 1? " * 20}, "degenerate"),
        ({"answer": " "}, "answer is empty"),
        ({"answer": "Use only what the image shows. Be objective and unbiased. If the answer would reveal private data"}, "repeats the prompt"),
    ],
)  # fmt: skip
def test_bad_turns_of_a_session_are_no_rows(play: Play, pictures: Pictures, special: dict[str, str], end: str) -> None:
    found = play("allava_session", items(pictures("a")), session(**special))
    assert not found.rows["caption.json"] and not found.rows["instruct.json"]
    assert end in (found.failed.get("a") or found.dropped["a"][0]), (found.failed, found.dropped)


def vflan(caption: str = "A cat.", answer: str = "It is red.") -> str:
    return (
        f"<start of description>{caption}<end of description>\n"
        f"<start of detailed answer>{answer}<end of detailed answer>"
    )


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        ("", "answer is empty"),
        (vflan()[:-20], "no <detailed answer>"),
        (vflan("...", "..."), "only a placeholder"),
        (vflan(caption="I'm sorry, I cannot help with that."), "refusal"),
        (vflan(answer="I can't answer this question."), "declined"),
        (vflan(caption=ZH), "caption_language"),
        (vflan(answer=ZH), "language"),
        (vflan(answer="What colour is the cat?"), "degenerate"),
        (vflan(answer="Answer the question below in detail, and explain how the image leads to the answer."), "repeats the prompt"),
    ],
)  # fmt: skip
def test_bad_answers_to_given_questions_are_no_rows(play: Play, pictures: Pictures, answer: str, end: str) -> None:
    found = play("allava_vflan", items(pictures("a"), instruction="What colour is the cat?"), f"return {answer!r}")
    assert not found.rows["caption.json"] and not found.rows["instruct.json"]
    assert end in (found.failed.get("a") or found.dropped["a"][0]), (found.failed, found.dropped)
    assert (
        "truncated"
        in play("allava_vflan", items(pictures("a"), instruction="What?"), f"return Cut({vflan()!r})").failed["a"]
    )


def test_a_chinese_question_has_a_chinese_answer_and_an_english_caption(play: Play, pictures: Pictures) -> None:
    found = play("allava_vflan", items(pictures("a"), instruction="猫是什么颜色的？"), f"return {vflan(answer=ZH)!r}")
    assert found.rows["instruct.json"][0]["conversations"][1]["value"] == ZH


def test_wizardlm_rows_are_input(play: Play, tmp_path: Path) -> None:
    rows = [
        {"idx": "heR0vZB", "conversations": [{"from": "human", "value": " Say hi. "}, {"from": "gpt", "value": "OLD"}]},
        {
            "idx": "b",
            "conversations": [
                {"from": "system", "value": "Be kind."},
                {"from": "human", "value": "One?"},
                {"from": "gpt", "value": "OLD"},
                {"from": "human", "value": "Two?"},
                {"from": "gpt", "value": "OLD"},
            ],
        },
        {"idx": "none", "conversations": []},
    ]
    (tmp_path / "WizardLM.json").write_text(json.dumps(rows))
    found = play("allava_text", tmp_path / "WizardLM.json", "return f'New: {text}'", profile="wizardlm")
    made = {row["id"]: [m["content"] for m in row["messages"]] for row in found.rows["allava_text.jsonl"]}
    assert made == {"heR0vZB": ["Say hi.", "New: Say hi."], "b": ["One?", "New: One?"]}
    assert set(found.failed) == {"none"}
    assert json.dumps(found.calls).count("OLD") == 0


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        ("''", "answer is empty"),
        ("'I am sorry, but I cannot assist with that request.'", "refusal"),
        ("text", "degenerate"),
        (repr(ZH), "language"),
        ("Cut('Tides are caused by the moon.')", "truncated"),
    ],
)
def test_bad_answers_to_text_are_no_rows(play: Play, answer: str, end: str) -> None:
    found = play(
        "allava_text", [{"id": "a", "instruction": "Explain in a few words what causes tides."}], f"return {answer}"
    )
    assert not found.rows["allava_text.jsonl"]
    assert end in (found.failed.get("a") or found.dropped["a"][0]), (found.failed, found.dropped)


def test_a_translation_may_be_in_another_script(play: Play) -> None:
    rows = [{"id": "a", "instruction": "Translate into Chinese: The cat sits on the sofa."}]
    assert play("allava_text", rows, f"return {ZH!r}").rows["allava_text.jsonl"]
