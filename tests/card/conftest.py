"""Runs whose datasets get a card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import mminf

from ..conftest import tiny_image

RECIPE = """
name: {name}
description: "Questions about drawings (after a paper, arXiv 2503.08741)"
published: {{source: a table, pass_rates: {{keep: 0.5}}, kept: 0.4}}
seed: 11
engines:
  vlm: {{backend: scripted, model: Qwen/Qwen2-VL-7B-Instruct, script: {script}}}
  judge: {{backend: scripted, model: {folder}/models/our-judge, script: {script}}}
source: {{jsonl: rows.jsonl}}
{more}
steps:
  - generate: {{name: ask, engine: vlm, images: optional, prompt: "Ask {{{{ text }}}}", writes: instruction, sampling: {{temperature: 0.7, top_p: 0.9}}}}
  - score: {{name: clarity, engine: judge, prompt: "Rate {{{{ text }}}}", scale: [1, 5]}}
  - keep: clarity >= 3
  - generate: {{name: respond, engine: vlm, images: optional, prompt: "Answer {{{{ text }}}}", writes: response}}
sinks:
{sinks}
"""
SINKS = """
  - swift: {path: chats.jsonl, constants: {source: mine}}
  - jsonl: {path: unclear.jsonl, dropped_by: keep, columns: [instruction, images]}
"""
SCRIPT = """
def answer(request):
    text = request.turns[-1].text
    if text.startswith("Rate"):
        return f"[[{1 + len(text) % 5}]]"
    if text.startswith("Ask"):
        return f"What is shown in the {text[4:]}, and which colours does it have?"
    return f"It is a drawing of the {text[7:]}, which has several colours and a frame."
"""
Run = Callable[..., Path]


@pytest.fixture
def run(write_recipe: Callable[..., Path], rows: Callable[..., Path], tmp_path: Path) -> Run:
    """Runs the recipe over drawings."""

    def made(
        name: str = "drawings",
        number: int = 20,
        *,
        sinks: str = SINKS,
        more: str = "",
        images: bool = True,
        **options: object,
    ) -> Path:
        tiny_image(tmp_path / "a.png")
        picture = {"images": ["a.png"]} if images else {}
        rows(*({"id": f"r{n}", "text": f"{'x' * n} thing {n}", "kind": "ab"[n % 2], **picture} for n in range(number)))
        (tmp_path / "answers.py").write_text(SCRIPT)
        recipe = RECIPE.format(name=name, script=tmp_path / "answers.py", folder=tmp_path, sinks=sinks, more=more)
        mminf.run(write_recipe(recipe, f"{name}.yaml"), output=tmp_path / name, **options)  # type: ignore[arg-type]
        return tmp_path / name

    return made
