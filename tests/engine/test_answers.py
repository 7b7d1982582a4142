"""What becomes of a model's output on its way to the steps and into the journal."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import mminf
from mminf import api
from mminf.engine.answers import present, separate
from mminf.errors import RequestError
from mminf.request import Generation, Request, Sampling
from mminf.turns import Turn

from ..backend.mock import make, request, serve
from ..conftest import read_rows
from ..journal.versions import make_version_2

Recipe = Callable[[str], Path]
ASK = Request((Turn("user", ("What?",)),), (), Sampling(), None, 0)


def test_a_thought_is_kept_apart_and_an_open_one_leaves_no_answer() -> None:
    whole = separate(Generation("<think>a</think>b", "stop", 1, 2, logprobs=(-1.0,)), ASK)
    assert (whole.text, whole.reasoning, whole.finish_reason, whole.logprobs) == ("b", "a", "stop", None)
    assert separate(whole, ASK) is whole, "what the journal holds is not split again"
    cut = separate(Generation("<think>a", "stop", 1, 2), ASK)
    assert (cut.text, cut.complete) == ("", False)
    served = separate(Generation("</think>b", "stop", 1, 2, reasoning="a"), ASK)
    assert (served.text, served.reasoning) == ("b", "a")
    vector = Generation("", "stop", 1, 0, vector=b"\0\0\0\0")
    assert separate(vector, ASK) is vector


def test_what_steps_see() -> None:
    answer = Generation("A <image> b", "stop", 1, 2, reasoning="a")
    assert present(answer, "split").text == "A < image> b"
    assert present(answer, "keep").text == "<think>\na\n</think>\n\nA < image> b"
    plain = Generation("b", "stop", 1, 2)
    assert present(plain, "split") is present(plain, "keep") is plain


def run(recipe: Recipe, tmp_path: Path, answer: str, steps: str, engine: str = "", output: str = "out") -> Any:
    (tmp_path / "say.py").write_text(f"def answer(request):\n    return {answer!r}\n")
    (tmp_path / "rows.jsonl").write_text('{"id": "1", "q": "What?"}\n')
    path = recipe(
        f"engines: {{e: {{backend: scripted, script: {tmp_path}/say.py{engine}}}}}\nsource: {{jsonl: rows.jsonl}}\n"
        f"steps:\n{steps}sinks:\n  - jsonl: out.jsonl\n"
    )
    return mminf.run(path, output=tmp_path / output)


THOUGHT = "<think>\nA 2? [[2]] Instruction: no. No\n</think>\n\n"
GENERATE = "  - generate: {engine: e, prompt: '{{ q }}', writes: said, reasoning: thought}\n"


@pytest.mark.parametrize(
    ("answer", "step", "field", "value"),
    [
        (f"{THOUGHT}4", "score: {name: s, engine: e, prompt: '{{ q }}'}", "s", 4),
        (f"{THOUGHT}Yes", "check: {name: c, engine: e, prompt: '{{ q }}'}", "c", True),
        (
            f"{THOUGHT}[[B]]",
            "compare: {engine: e, reads: [q, q], prompt: '{{ a }}{{ b }}', writes: w}",
            "w",
            "tie",
        ),
        (f"{THOUGHT}A ball.", "generate: {engine: e, prompt: '{{ q }}', writes: g}", "g", "A ball."),
        (f"{THOUGHT}<a>x</a>", "generate: {engine: e, prompt: '{{ q }}', extract: {tags: {t: a}}}", "t", "x"),
        (f'{THOUGHT}{{"k": "x"}}', "generate: {engine: e, prompt: '{{ q }}', extract: {keys: {k: k}}}", "k", "x"),
        (f"{THOUGHT}one\ntwo", "generate: {engine: e, prompt: '{{ q }}', extract: {lines: l}}", "l", ["one", "two"]),
        (f"{THOUGHT}What?", "hook: {engine: e, images: false, writes: h}", "h", "What?"),
        (
            f"{THOUGHT}Instruction: What?",
            "classify: {engine: e, reads: q, template: null, prompt: '{{ q }}'}",
            "instruction",
            "What?",
        ),
    ],
)
def test_steps_read_the_answer_and_never_the_thought(
    write_recipe: Recipe, tmp_path: Path, answer: str, step: str, field: str, value: Any
) -> None:
    run(write_recipe, tmp_path, answer, f"  - {step}\n")
    (row,) = read_rows(tmp_path / "out" / "out.jsonl")
    assert row[field] == value


def test_the_journal_and_show_have_both(write_recipe: Recipe, tmp_path: Path) -> None:
    run(write_recipe, tmp_path, "<think>Hm.</think>A ball.", GENERATE)
    (row,) = read_rows(tmp_path / "out" / "out.jsonl")
    assert (row["said"], row["thought"]) == ("A ball.", "Hm.")
    (call,) = api.show(tmp_path / "out", "1")["calls"]
    assert (call["text"], call["reasoning"]) == ("A ball.", "Hm.")
    again = run(write_recipe, tmp_path, "<think>Hm.</think>A ball.", GENERATE.replace("said", "words"))
    assert again.calls == 1, "recalled with its thought"
    (row,) = read_rows(tmp_path / "out" / "out.jsonl")
    assert (row["words"], row["thought"]) == ("A ball.", "Hm.")


def test_keep_leaves_the_thought_in_the_answer(write_recipe: Recipe, tmp_path: Path) -> None:
    steps = "  - generate: {engine: e, prompt: '{{ q }}', writes: said}\n"
    run(write_recipe, tmp_path, "[THINK]Hm.[/THINK]A ball.", steps, ", reasoning: keep")
    (row,) = read_rows(tmp_path / "out" / "out.jsonl")
    assert row["said"] == "<think>\nHm.\n</think>\n\nA ball."


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("A ball.", "answered without reasoning"),
        ("<think>Hm.", "was truncated"),
        ("<think>Hm.</think>", "answer is empty"),
    ],
)
def test_an_answer_without_a_whole_thought_is_refused(
    write_recipe: Recipe, tmp_path: Path, answer: str, reason: str
) -> None:
    result = run(write_recipe, tmp_path, answer, GENERATE)
    assert result.counts.done == 0
    assert reason in str(result.failures[0][2])


def test_a_journal_of_an_earlier_version_is_read_and_resumed(write_recipe: Recipe, tmp_path: Path) -> None:
    """Earlier journals hold outputs whole, and have no table of thoughts."""
    run(write_recipe, tmp_path, "<think>Hm.</think>A ball.", GENERATE)
    make_version_2(tmp_path / "out")
    with sqlite3.connect(tmp_path / "out" / "journal.sqlite") as old:
        old.execute("DROP TABLE reasoning")
        old.execute("UPDATE memo SET text = '<think>Hm.</think>A ball.'")
        old.execute("UPDATE rows SET key = 'of another version'")
    assert api.show(tmp_path / "out", "1")["calls"][0]["reasoning"] is None
    result = run(write_recipe, tmp_path, "another answer", GENERATE)
    assert result.counts.done == 0, "another script is another model"
    result = run(write_recipe, tmp_path, "<think>Hm.</think>A ball.", GENERATE)
    (row,) = read_rows(tmp_path / "out" / "out.jsonl")
    assert (row["said"], row["thought"]) == ("A ball.", "Hm.")


# Servers


def reply(message: dict[str, Any], finish: str = "stop") -> web.Response:
    return web.json_response({"choices": [{"message": message, "finish_reason": finish}], "usage": {}})


def ask(
    message: dict[str, Any], finish: str = "stop", owner: str = "vllm", **settings: Any
) -> tuple[Generation, dict[str, Any]]:
    async def go() -> tuple[Generation, dict[str, Any]]:
        async with serve(lambda body, n: reply(message, finish), owner=owner) as mock:
            backend = make(mock.url, **settings)
            found = await backend.generate(request("hi"))
            await backend.close()
            return found, mock.calls[0][0]

    return asyncio.run(go())


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_servers_that_part_thought_and_answer(name: str) -> None:
    found, _ = ask({"content": "A ball.", name: "Hm."})
    assert (found.text, found.reasoning) == ("A ball.", "Hm.")
    only, _ = ask({"content": None, name: "Hm."}, "length")
    assert (only.text, only.reasoning, only.complete) == ("", "Hm.", False)


def test_a_refusal_of_the_server_is_the_reason() -> None:
    with pytest.raises(RequestError, match="the model refused: I can't"):
        ask({"content": None, "refusal": "I can't help with that."})


@pytest.mark.parametrize("finish", ["content_filter", "tool_calls"])
def test_half_an_answer_is_not_an_answer(finish: str) -> None:
    found, _ = ask({"content": "The image shows a"}, finish)
    assert not found.complete


@pytest.mark.parametrize(
    ("owner", "sent"),
    [
        ("vllm", {"chat_template_kwargs": {"enable_thinking": False}}),
        ("swift", {"chat_template_kwargs": {"enable_thinking": False}}),
        ("someone", {"reasoning_effort": "none"}),
    ],
)
def test_servers_are_asked_not_to_think(owner: str, sent: dict[str, Any]) -> None:
    _, body = ask({"content": "A ball."}, owner=owner, reasoning="off")
    assert body | sent == body
    _, body = ask({"content": "A ball."}, owner=owner)
    assert not sent.keys() & body.keys()


def test_reasoning_off_is_part_of_the_models_identity_and_split_is_not() -> None:
    assert "reasoning" not in make("http://h/v1").identity()
    assert make("http://h/v1", reasoning="off").identity()["reasoning"] == "off"
    assert json.loads(make("http://h/v1").config.model_dump_json())["reasoning"] == "split"
