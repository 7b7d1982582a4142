"""No answer that is empty, truncated, refused, in another language or copied from the prompt becomes a row.

One step of a recipe gives a bad answer for each record but one, always and in every attempt. The other steps answer well.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Play

Pictures = Callable[..., list[str]]

KINDS = ("fine", "empty", "blank", "truncated", "refused", "chinese", "prompt", "request", "lines", "loop")
# `bad` returns the answer of a step. `request` is the text that the answer must not repeat, if there is one.
START = """
import re
from mminf.request import Generation

shown = [image.uri.rsplit("/", 1)[-1].removesuffix(".png") for image in request.images]
kind = next(iter([*shown, *re.findall(r"kind_([a-z]+)", text)]), "fine")

def between(name):
    return text.rsplit(f"[Begin of {name}]", 1)[1].split(f"[End of {name}]")[0].strip()

def bad(step, good, wrap=lambda said: said, repeated=None, prompt=text):
    if step != STEP or kind == "fine":
        return good
    if kind == "truncated":
        return Generation(good, "length", 9, 9)
    sentences = [line for line in text.splitlines() if len(line.split()) > 5]
    return wrap({
        "empty": "", "blank": " \\n ", "refused": "I'm sorry, but I can't assist with that.",
        "chinese": "图中有一只红色的猫坐在沙发上，旁边还有一盏灯。", "prompt": prompt,
        "request": repeated or prompt, "lines": sentences[0] if sentences else "A long sentence. " * 40,
        "loop": "What does the cat do now? " * 12,
    }[kind])
"""
CAT = 'f"A small red cat of kind_{kind} sits on the sofa in the room."'
CAPTION = f"""
if "State only" in text:
    return bad("caption", {CAT}, repeated=text.split("State only")[0].strip())
"""
CHECK = CAPTION + 'return bad("true", "Yes")'
QUESTIONS = (
    CAPTION
    + """
if text.endswith("Questions:"):
    return bad("ask", f"1. What is it that the cat of kind_{kind} does?", lambda said: said and f"1. {said}")
return bad("respond", f"It sits on the sofa of kind_{kind} and it sleeps.", repeated=text.strip())
"""
)
THINKING = f"""
if text.startswith("\\nDescribe the image above for"):
    return bad("caption", {CAT})
if "Think step by step" in text:
    return bad("reason", f"<think>The cat is on the sofa of kind_{{kind}}.</think>It is on the sofa of kind_{{kind}}.",
               lambda said: f"<think>The cat is on the sofa of kind_{{kind}}.</think>{{said}}", between("Question"))
if text.endswith("Changed thoughts:"):
    return bad("rewrite", f"The cat is on the sofa of kind_{{kind}}.", repeated="**Thoughts:**")
return bad("verify", "Yes")
"""
EVOLVE = """
if text.endswith("Criticism:"):
    return "It is too short."
if text.endswith("New prompt:"):
    return bad("improve", f"<prompt>What does the better cat of kind_{kind} do?</prompt>", lambda said: f"<prompt>{said}</prompt>",
               "It is too short.")
if text.endswith("Score:"):
    return bad("rate", "[[9]]" if "better" in text else "[[5]]")
better = "better" in text
return bad("answer_new" if better else "answer", f"It sits on the sofa of kind_{kind} and it sleeps.", repeated=text.strip())
"""
MATCH = 'return bad("match", "[[7]]")'
MMEVOL = """
def pair(question, answer):
    return json.dumps([{"question": question, "skills": ["counting"], "answer": answer}])

if text.endswith("New set:"):
    question = f"What is it that the evolved cat of kind_{kind} does?"
    good = pair(question, "It sits on the sofa and it sleeps.")
    if STEP == "question":
        return bad("question", good, lambda said: pair(said, "It sits on the sofa."), "It sits on the sofa.")
    if STEP == "answer":
        return bad("answer", good, lambda said: pair(question, said), question)
    return bad("evolve", good)
return bad("grade", "[[7]]") if text.endswith("Score:") else bad("better", "Yes")
"""
REQUEST = 'return bad("request", f"What does the small cat of kind_{kind} do on the sofa?")'
OASIS = """
AXES = {"solvability": "is needed to carry out", "hallucination": "says or assumes", "clarity": "how clear it is", "nonsense": "makes sense"}
asked = f"What does the small cat of kind_{kind} do on the sofa?"
if request.open_turn == "user":
    return bad("hook", asked)
if "[Begin of Text]" in text:
    sampled = between("Text")
    return bad("classify", f"Instruction: {sampled}" if sampled[-1] == "?" else "NO_INST", repeated=sampled)
if text.endswith("Score:"):
    return bad(next(name for name, words in AXES.items() if words in text), "[[5]]")
return bad("respond", f"It sits on the sofa of kind_{kind} and it sleeps.", repeated=text.strip())
"""
PAIR = {
    "instruction": "What does the cat of kind_KIND do on the sofa?",
    "response": "It sits there and it sleeps.",
    "answer": "x",
}
SETS = {"qa": [{"question": PAIR["instruction"], "answer": PAIR["response"]}]}
# A bad answer of these steps is not in a row, or replaced by an earlier one, so a good row may follow.
BETWEEN = {("thinking", "caption"), ("prompt_evolve", "answer"), ("prompt_evolve", "improve"), ("oasis", "hook")}

PLAYS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "caption": (CAPTION, {}, ["caption"]),
    "caption_check": (CHECK, {}, ["caption", "true"]),
    "caption_qa": (QUESTIONS, {}, ["caption", "ask", "respond"]),
    "densefusion": (CAPTION, {"tags": ["a cat", "a sofa"]}, ["caption"]),
    "thinking": (THINKING, PAIR, ["caption", "reason", "rewrite", "verify"]),
    "prompt_evolve": (EVOLVE, {"instruction": PAIR["instruction"]}, ["answer", "improve", "answer_new", "rate"]),
    "match_score": (MATCH, PAIR, ["match"]),
    "detailed_instruction": (
        REQUEST,
        {"description": "A small red cat of kind_KIND sits on the sofa, and it sleeps there."},
        ["request"],
    ),
    "oasis": (OASIS, {}, ["hook", "classify", "solvability", "hallucination", "clarity", "nonsense", "respond"]),
    "mmevol": (MMEVOL, SETS, ["evolve", "question", "answer", "better", "grade"]),
}


@pytest.mark.parametrize(("recipe", "step"), [(name, step) for name, (_, _, steps) in PLAYS.items() for step in steps])
def test_a_bad_answer_is_no_row(play: Play, pictures: Pictures, recipe: str, step: str) -> None:
    reply, fields, _ = PLAYS[recipe]
    pictures(*KINDS)
    text = json.dumps(fields)
    items = [{"id": kind, "images": [f"{kind}.png"], **json.loads(text.replace("KIND", kind))} for kind in KINDS]
    if recipe == "densefusion":
        reply = reply.replace('"State only" in text', "True").replace('split("State only")[0]', 'split("\\n\\n")[0]')
    found = play(recipe, items, f"STEP = {step!r}\n{START}{reply}", max_same_failures=None)
    assert not [reason for reason in found.failed.values() if "scripted" in reason]
    rows = {row["id"].split("/")[0]: row for row in found.rows.get(f"{recipe}.jsonl", next(iter(found.rows.values())))}
    if (recipe, step) == ("thinking", "caption"):
        assert rows.keys() == {"fine", "chinese"}, "only the language of a caption does not matter"
    if (recipe, step) not in BETWEEN:
        assert rows.keys() == {"fine"}, json.dumps(rows, ensure_ascii=False, indent=1)
    assert "fine" in rows
    for kind, row in rows.items():
        said = json.dumps(row["messages"], ensure_ascii=False)
        assert f"kind_{kind}" in said and "图" not in said and "sorry" not in said, row


MAGPIE = """
import random
KINDS = ("fine", "empty", "blank", "truncated", "refused", "chinese", "prompt", "request", "lines", "loop")
if request.open_turn == "user":
    step = "go_on" if len(request.turns) > 1 else "hook"
    kind = kind if step == "go_on" else KINDS[request.seed % len(KINDS)]
    words = "apple river music paper garden doctor engine winter market planet bridge copper mirror forest candle rocket".split()
    some = " ".join(random.Random(request.seed).sample(words, 7))  # near duplicates are dropped
    good = f"What do you know of the {some} with kind_{kind}?"
    return bad(step, good, repeated=request.turns[1].text if step == "go_on" else "You are a helpful assistant.")
if "Do not answer it" in text:
    return bad("tag", '{"quality": "good", "difficulty": "easy", "task": "advice"}')
if "Are both safe?" in text:
    return bad("safe", "Yes")
if text.endswith("Score:"):
    return bad("reward", "[[4]]")
return bad("respond" if len(request.turns) == 1 else "answer", f"It is a thing of kind_{kind}. " + ("It is sold in many shops and markets." if len(request.turns) > 1 else "Many people use it at home every day."),
           repeated=request.turns[-1].text, prompt=request.turns[-1].text)
"""


@pytest.mark.parametrize(
    ("recipe", "step"),
    [
        *(("magpie", step) for step in ("hook", "tag", "respond", "safe", "reward")),
        *(("magpie_turns", step) for step in ("hook", "tag", "respond", "safe", "reward", "go_on", "answer")),
    ],
)
def test_a_bad_answer_is_no_row_of_magpie(play: Play, recipe: str, step: str) -> None:
    settings = {"source": {"blank": 45}, "max_same_failures": None}
    found = play(recipe, None, f"STEP = {step!r}\n{START}{MAGPIE}", **settings)
    assert not [reason for reason in found.failed.values() if "scripted" in reason]
    rows = found.rows[f"{recipe}.jsonl"]
    assert rows
    for row in rows:
        assert all("kind_fine" in message["content"] for message in row["messages"]), json.dumps(
            row, ensure_ascii=False
        )


@pytest.mark.parametrize("recipe", ["caption", "caption_qa"])
def test_an_english_answer_to_a_chinese_request_is_no_row(play: Play, pictures: Pictures, recipe: str) -> None:
    reply = "return 'A small red cat sits on the sofa in the room.'"
    items = [{"id": "x", "images": pictures("x")}]
    found = play(recipe, items, reply, profile="zh")
    assert not found.rows[next(iter(found.rows))]
    assert "language" in found.dropped["x"][0]


def test_a_question_in_another_language_than_the_caption_is_no_row(play: Play, pictures: Pictures) -> None:
    reply = """
if text.endswith("Questions:"): return "1. 图中的这只猫现在在做什么？"
return "它坐在沙发上睡觉，旁边还有一盏灯。" if "猫" in text else "A small red cat sits on the sofa in the room."
"""
    found = play("caption_qa", [{"id": "x", "images": pictures("x")}], reply)
    assert not found.rows["caption_qa.jsonl"]
    assert found.dropped["x/0"][0] == "question_language"
