"""MAmmoTH-VL, with a model that rewrites and judges well and badly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Play, Played
from .truncation import CUT, truncated

Pictures = Callable[..., list[str]]
__all__ = ["truncated"]

QUESTION = "Which vehicle is parked at the kerb, and what shows that?"
ANSWER = "There are four wheels and a roof sign with four letters. It is therefore a taxi."
PAIR = f"<question>{QUESTION}</question>\n<answer>{ANSWER}</answer>"


def reply(rewritten: str = PAIR, agrees: str = "Yes", valid: str = "Valid") -> str:
    """Returns the body of a model that gives these answers."""
    return f"""
if "[Begin of Short Answer]" in text:
    rewritten = {rewritten!r}
    return text + {CUT!r} if rewritten == "prompt, truncated" else text if rewritten == "prompt" else rewritten
if "[Begin of Reference Answer]" in text:
    assert not request.images, "the result is compared without the image"
    return {agrees!r}
assert "[Begin of Answer]" in text and request.images, text
return {valid!r}
"""


def row(image: str, question: object = "What is parked at the kerb?", answer: object = "A taxi", **more: object) -> Any:
    return {"id": "x", "images": [image], "instruction": question, "answer": answer, **more}


@pytest.fixture
def rewrite(play: Play, pictures: Pictures) -> Callable[..., Played]:
    """Rewrites one pair."""
    (image,) = pictures("red")

    def run(answers: str, question: object = "What is parked at the kerb?", answer: object = "A taxi") -> Played:
        return play("mammoth_vl", [row(image, question, answer)], answers)

    return run


@pytest.mark.parametrize(
    ("task", "rewriting", "judging"),
    [
        ("ocr", "quotes the text in the image exactly", "Read the text in the image again"),
        ("chart", "reads each value that is needed", "Read the values in the image again"),
        ("Document ", "reads each value that is needed", "Read the values in the image again"),
        ("caption", "covers every statement", None),
        ("math", "states the fact, rule or formula", "Check each fact, formula and calculation"),
        ("vqa", "describes the objects, attributes and relations", None),
        (None, "describes the objects, attributes and relations", None),
        ("", "describes the objects, attributes and relations", None),
    ],
)
def test_the_prompts_depend_on_the_task(
    play: Play, pictures: Pictures, task: str | None, rewriting: str, judging: str | None
) -> None:
    (image,) = pictures("red")
    given = row(image) if task == "" else row(image, task=task)
    found = play("mammoth_vl", [given], reply())
    (made,) = found.rows["mammoth_vl.jsonl"]
    assert [message["content"] for message in made["messages"]] == [f"<image>{QUESTION}", ANSWER]
    assert [uri.rsplit("/", 1)[1] for uri in made["images"]] == [image]
    assert (made["answer"], made["seed_instruction"]) == ("A taxi", "What is parked at the kerb?")
    assert made.get("task", "") == task
    (prompt,) = found.asked("[Begin of Short Answer]\nA taxi\n")
    assert rewriting in prompt
    assert prompt.count("\n- ") == 4, "one clause for the task"
    (compared,) = found.asked("[Begin of Reference Answer]\nA taxi\n")
    assert ("contains the main statements" in compared) is (task == "caption")
    (judged,) = found.asked(f"[Begin of Question]\n{QUESTION}\n[End of Question]\n[Begin of Answer]\n{ANSWER}\n")
    assert "A taxi\n" not in judged
    said = ("Read the text in the image again", "Read the values in the image again", "Check each fact")
    assert [part for part in said if part in judged] == [part for part in said if judging and part in judging]


@pytest.mark.parametrize(
    ("rewritten", "step"),
    [
        ("", "rewrite"),
        (f"<question>{QUESTION}</question><answer>{ANSWER}{CUT}", "rewrite"),
        (PAIR + CUT, "rewrite"),
        ("prompt", "rewrite"),
        ("prompt, truncated", "rewrite"),
        ("I'm sorry, but I can't assist with that.", "rewrite"),
        (f"<question>{QUESTION}</question>", "rewrite"),
        (f"<question>{QUESTION}</question><answer>...</answer>", "rewrite"),
        (f"<question>the new question</question><answer>{ANSWER}</answer>", "rewrite"),
        (f"<question>{QUESTION}</question><answer>[Begin of Question]\nIs it?\n[End of Question]\nA taxi.</answer>", "rewrite"),
    ],
)  # fmt: skip
def test_an_answer_without_a_pair_fails_its_record(rewrite: Callable[..., Played], rewritten: str, step: str) -> None:
    found = rewrite(reply(rewritten))
    assert found.rows["mammoth_vl.jsonl"] == []
    assert found.failed["x"].startswith(f"{step}: ")
    assert not found.asked("Verdict:"), "nothing is judged"


SEED = "What is parked at the kerb?"


def pair(question: str = QUESTION, answer: str = ANSWER) -> str:
    return f"<question>{question}</question><answer>{answer}</answer>"


@pytest.mark.parametrize(
    ("rewritten", "step"),
    [
        (pair(answer="I'm sorry, but I can't assist with that request about the image."), "refusal"),
        (pair(question="I'm sorry, but I can't assist with that."), "refusal"),
        (pair(question="What is it? " * 30), "degenerate_question"),
        (pair(answer="There is a taxi at the kerb. " * 12), "degenerate"),
        (pair(answer=QUESTION), "degenerate"),
        (pair(answer=SEED), "degenerate"),
        (pair(answer="A taxi"), "degenerate"),
        (pair(answer="It is a taxi."), "explained"),
        (pair(question="What shows that the vehicle is a taxi?"), "result_not_given"),
        (pair(answer="According to the caption, there is a car with a roof sign. It is a taxi."), "no_leak"),
        (pair(answer="The car has a roof sign. This agrees with the short answer: a taxi."), "no_talk_of_answer"),
        (pair(answer="路边停着一辆车，车顶上有出租车的标志，所以这是一辆出租车。"), "language"),
        (pair(question="路边停着什么车？请说明理由。"), "language"),
        (pair(answer="Cette voiture est garée au bord du trottoir et porte une enseigne : un taxi."), "language"),
        (pair(answer="На обочине стоит машина с табличкой на крыше, поэтому это такси."), "language"),
    ],
)  # fmt: skip
def test_bad_pairs_are_dropped_before_they_are_judged(
    rewrite: Callable[..., Played], rewritten: str, step: str
) -> None:
    found = rewrite(reply(rewritten), SEED)
    assert found.rows["mammoth_vl.jsonl"] == []
    assert found.dropped["x"][0] == step, found.dropped["x"]
    assert not found.asked("Verdict:"), "nothing is judged"


@pytest.mark.parametrize(
    ("seed", "gold", "rewritten"),
    [
        ("路边停着什么？", "出租车", pair("路边停着什么车？请说明理由。", "车顶上有黄色的标志，标志上写着四个字母，所以这是一辆出租车。")),
        ("Qu'est-ce qui est garé ?", "un taxi", pair("Quel véhicule est garé, et pourquoi ?", "La voiture porte une enseigne sur le toit : un taxi.")),
        ("Is it open?", "no", pair(answer="The blinds behind the glass are down and no light is on. No, it is closed.")),
        ("A: bus B: taxi", "taxi", pair("Is it a bus or a taxi? Give reasons.", "There is a sign on the roof. It is a taxi.")),
        ("How many wheels are there?", 4, pair("Count the wheels and explain how.", "There are two on each side, which makes 4 wheels.")),
        ("What does the sign say?", "出口", pair("Read the sign and say where it is.", "The green sign above the door on the left says 出口.")),
    ],
)  # fmt: skip
def test_pairs_in_the_language_of_the_question_are_kept(
    rewrite: Callable[..., Played], seed: str, gold: object, rewritten: str
) -> None:
    found = rewrite(reply(rewritten), seed, gold)
    assert [made["answer"] for made in found.rows["mammoth_vl.jsonl"]] == [gold], found.dropped


def test_an_english_answer_to_a_chinese_question_is_dropped(rewrite: Callable[..., Played]) -> None:
    found = rewrite(reply(), "路边停着什么？", "出租车")
    assert found.dropped["x"][0] == "language"


@pytest.mark.parametrize(
    ("agrees", "valid", "calls"),
    [("No", "Valid", 2), ("Yes", "Invalid", 3), ("**No**, another vehicle.", "Valid", 2), ("Yes.", "Invalid. No sign.", 3)],
)  # fmt: skip
def test_pairs_that_a_judge_rejects_are_written_apart(
    rewrite: Callable[..., Played], agrees: str, valid: str, calls: int
) -> None:
    found = rewrite(reply(PAIR, agrees, valid))
    assert found.rows["mammoth_vl.jsonl"] == []
    (apart,) = found.rows["invalid.jsonl"]
    assert (apart["new_instruction"], apart["response"]) == (QUESTION, ANSWER)
    assert apart["agrees"] is agrees.startswith("Yes")
    assert len(found.calls) == calls


@pytest.mark.parametrize(
    ("agrees", "valid"), [("Perhaps.", "Valid"), ("Yes", "Valid or Invalid"), ("", "Valid"), ("Yes", f"Valid{CUT}")]
)
def test_a_verdict_that_can_not_be_read_does_not_count(rewrite: Callable[..., Played], agrees: str, valid: str) -> None:
    found = rewrite(reply(PAIR, agrees, valid))
    assert found.rows["mammoth_vl.jsonl"] == found.rows["invalid.jsonl"] == []
    assert set(found.failed) == {"x"}


@pytest.mark.parametrize(
    ("question", "answer"),
    [("", "A taxi"), (" ", "A taxi"), (None, "A taxi"), (SEED, ""), (SEED, None), (SEED, ["A taxi"])],
)
def test_rows_without_question_or_answer_cause_no_call(
    rewrite: Callable[..., Played], question: object, answer: object
) -> None:
    found = rewrite(reply(), question, answer)
    assert found.dropped["x"][0] == "not_empty"
    assert not found.calls


def test_media_tags_of_the_question_show_an_image_once(play: Play, pictures: Pictures) -> None:
    images = pictures("red", "blue")
    rows = [row(images[0], "<image>\nWhat is parked at the kerb?"), {**row(images[0]), "id": "two", "images": images}]
    found = play("mammoth_vl", rows, "assert len(request.images) in (0, 1, 2) and '<image>' not in text\n" + reply())
    contents = {made["id"]: made["messages"][0]["content"] for made in found.rows["mammoth_vl.jsonl"]}
    assert contents == {"x": f"<image>{QUESTION}", "two": f"<image><image>{QUESTION}"}
    assert not found.failed


def test_an_unusable_answer_is_retried(rewrite: Callable[..., Played]) -> None:
    once = 'if "[Begin of Short Answer]" in text and not request.sampling.temperature: return "<question>cut"\n'
    found = rewrite(once + reply())
    assert len(found.rows["mammoth_vl.jsonl"]) == 1
    assert len(found.calls) == 4


def test_a_second_run_makes_no_call_and_writes_the_same(play: Play, pictures: Pictures) -> None:
    images = pictures("red", "blue", "green")
    rows = [{**row(image), "id": image} for image in images]
    answers = (
        'if request.images and "green" in request.images[0].uri and "Valid or" in text: return "Invalid"\n' + reply()
    )
    part = play("mammoth_vl", rows, answers, limit=1)
    assert len(part.calls) == 3
    rest = play("mammoth_vl", rows, answers)
    assert len(rest.calls) == 6, "only the calls of the other two rows"
    again = play("mammoth_vl", rows, answers)
    assert not again.calls
    assert again.rows == rest.rows
    assert [made["id"] for made in again.rows["mammoth_vl.jsonl"]] == ["red.png", "blue.png"]
