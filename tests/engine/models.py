"""Recipes with several models."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from mminf import api
from mminf.engine.run import Run

Recipe = Callable[..., Path]

# Three models that log when they are loaded (the script is read then) and each call; scores depend on the record.
MODEL = """
import hashlib, os

def log(text):
    with open(os.environ["CALLS_LOG"], "a") as file:
        file.write(text + "\\n")

log("load NAME")

def answer(request):
    text = "\\n".join(turn.text for turn in request.turns)
    log(f"call NAME {text}")
    if "fail" in text:
        raise ValueError("told to fail")
    number = int(hashlib.sha256(text.encode()).hexdigest(), 16)
    return f"[[{number % 5 + 1}]]" if "rate" in text else f"<{text}>"
"""


def loads(log: Path) -> str:
    return "".join(line[-1] for line in log.read_text().splitlines() if line.startswith("load"))


def calls(log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines() if line.startswith("call")]


# Oasis' shape: what is sampled by a, told apart by b, rated by b and c, answered by c.
SHAPE = """
source: {jsonl: rows.jsonl}
steps:
  - generate: {name: hook, engine: a, prompt: "hook {{ n }}", writes: text}
  - generate: {name: classify, engine: b, prompt: "classify {{ text }}", writes: instruction}
  - keep: {name: instructions, expression: n % 3 != 0}
  - score: {name: one, engine: THIRD, prompt: "rate one {{ instruction }}"}
  - score: {name: two, engine: THIRD, prompt: "rate two {{ instruction }}"}
  - score: {name: three, engine: b, prompt: "rate three {{ instruction }}"}
  - keep: one >= 2 and two >= 2 and three >= 2
  - generate: {name: respond, engine: THIRD, prompt: "respond {{ instruction }}", writes: response}
sinks: [{jsonl: out.jsonl}, {jsonl: {path: dropped.jsonl, dropped_by: keep}}]
"""


def run(recipe: Path, output: Path, **settings: object) -> Run:
    made = api.prepare(api.load(recipe, overrides=settings), output=output)
    assert api.execute(made).state == "finished"
    return made


def outcomes(output: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(output / "journal.sqlite") as connection:
        sql = "SELECT stage, id, path, state, step, reason, fields FROM rows ORDER BY stage, seq, path"
        return list(connection.execute(sql))


def states(output: Path) -> dict[str, str]:
    return {str(row[1]): str(row[3]) for row in outcomes(output)}
