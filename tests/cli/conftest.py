from __future__ import annotations

import json
from pathlib import Path

import pytest

import mminf

from ..conftest import tiny_image

RECIPE = """
name: small
engines: {s: {backend: scripted, script: SCRIPT}}
source: {jsonl: rows.jsonl}
max_same_failures: null
steps:
  - keep: {name: rich, expression: "n > 1 and kind != 'caption'"}
  - generate: {name: ask_a_question_about_the_image, engine: s, prompt: "Ask {{ text }}.\\nBe\\nbrief.", writes: answer}
  - deduplicate: {reads: text}
sinks: [jsonl: out.jsonl]
"""
SCRIPT = """
def answer(request):
    text = request.turns[-1].text
    if "bad" in text:
        raise ValueError(f"the answer to {text!r} is refused, for a reason that is longer than a line of eighty columns")
    return "What is on the sofa?\\n" + "A cat, and a dog.\\n" * 20
"""
FOLDER = "photographs_of_the_holidays/in_the_mountains"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The output of a run of 40 rows, of which 13 are done; the ids are long paths."""
    return make_run(tmp_path)


def make_run(folder: Path, recipe: str = RECIPE) -> Path:
    rows = [
        {
            "id": f"{FOLDER}/part-{number // 10}/{number:05}.jpg",
            "n": number % 5,
            "text": f"about {number // 2 if number % 7 else 'bad'}",
            "kind": "caption" if number % 6 == 0 else "qa",
        }
        for number in range(40)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "[]\n")
    (folder / "script.py").write_text(SCRIPT)
    (folder / "recipe.yaml").write_text(recipe.replace("SCRIPT", str(folder / "script.py")))
    mminf.run(folder / "recipe.yaml", output=folder / "out")
    return folder / "out"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with three images."""
    (tmp_path / "photos").mkdir()
    for number in range(3):
        tiny_image(tmp_path / "photos" / f"{number}.png", f"hsl({number * 90}, 50%, 50%)")
    return tmp_path / "photos"
