"""Runs that the app shows, and clients of the app."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import mminf
from mminf.view.app import make_app
from mminf.view.serve import open_runs

RECIPE = """
name: {name}
published: {{source: a paper, pass_rates: {{keep: 0.6}}, kept: 0.5}}
engines: {{e: {{backend: scripted, script: {script}}}}}
source: {{jsonl: rows.jsonl}}
steps:
  - generate: {{name: ask, engine: e, prompt: "Ask {{{{ text[:200] }}}}", writes: instruction}}
  - score: {{name: clarity, engine: e, prompt: "Rate {{{{ text[:200] }}}}", scale: [1, 5]}}
  - keep: clarity >= 3
sinks:
  - jsonl: out.jsonl
"""
SCRIPT = """
import os

def answer(request):
    text = request.turns[-1].text
    if "CALLS_LOG" in os.environ:
        with open(os.environ["CALLS_LOG"], "a") as log:
            log.write(text + "\\n")
    if "refuse" in text:
        raise ValueError("refused")
    return f"[[{1 + len(text) % 5}]]" if text.startswith("Rate") else text
"""
TOKEN = "the-token"
BASE = "http://127.0.0.1:8765"

Make = Callable[..., Path]


@pytest.fixture
def make_run(write_recipe: Callable[..., Path], rows: Callable[..., Path], tmp_path: Path) -> Make:
    """A function that runs a recipe on rows, and returns the output."""

    def made(*items: dict[str, object], name: str = "one", recipe: str = RECIPE, **options: object) -> Path:
        rows(*items)
        (tmp_path / "answers.py").write_text(SCRIPT)
        path = write_recipe(recipe.format(name=name, script=tmp_path / "answers.py"), f"{name}.yaml")
        mminf.run(path, output=tmp_path / name, **options)  # type: ignore[arg-type]
        return tmp_path / name

    return made


def items(number: int, **more: object) -> list[dict[str, object]]:
    """Rows of which three fifths are kept."""
    return [{"id": f"r{n:03}", "text": f"{'x' * n} thing {n}", **more} for n in range(number)]


def client(*outputs: Path) -> TestClient:
    """Returns a client that sends the token."""
    app = make_app(open_runs([str(output) for output in outputs]), TOKEN)
    return TestClient(app, base_url=BASE, headers={"x-mminf-token": TOKEN})
