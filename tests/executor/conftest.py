"""What the tests of executors share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .probing import RECIPE as PROBED
from .probing import SCRIPT as ASKED

BARRIER = """
name: barrier
engines: {{llm: {{backend: scripted, script: {script}, latency: 0.02}}}}
source: {{jsonl: rows.jsonl}}
steps:
  - generate: {{name: first, engine: llm, prompt: "{{{{ text }}}}", writes: first}}
  - deduplicate: {{reads: [first], method: exact}}
  - generate: {{name: second, engine: llm, prompt: "then {{{{ first }}}}", writes: second}}
  - split: {{reads: words, writes: word}}
  - generate: {{name: third, engine: llm, prompt: "word {{{{ word }}}}", writes: third}}
sinks:
  - jsonl: out.jsonl
"""
ECHO = """
import os

def answer(request):
    text = request.turns[-1].text
    if os.environ.get("CALLS_LOG"):
        with open(os.environ["CALLS_LOG"], "a") as file:
            file.write(f"{text} {request.seed}\\n")
    if "refuse" in text:
        raise ValueError("refused")
    return text.split()[-1]
"""


@pytest.fixture
def recipe(tmp_path: Path, write_recipe: Callable[..., Path], rows: Callable[..., Path]) -> Path:
    """Twenty records, of which five say what others say; a barrier; then two children each."""
    (tmp_path / "echo.py").write_text(ECHO)
    rows(*({"id": f"r{n}", "text": f"say {n % 15}", "words": [f"a{n}", f"b{n}"]} for n in range(20)))
    return write_recipe(BARRIER.format(script=tmp_path / "echo.py"))


@pytest.fixture
def probed(
    write_recipe: Callable[[str], Path], rows: Callable[..., Path], tmp_path: Path, calls_log: Path
) -> Callable[..., Path]:
    """A function that writes a recipe over 100 rows; one of `kept` records passes."""

    def write(kept: int = 2, text: str = PROBED, records: int = 100) -> Path:
        (tmp_path / "script.py").write_text(ASKED.replace("KEPT", str(kept)))
        rows(*({"id": f"r{n}", "n": n} for n in range(records)))
        return write_recipe(text.replace("SCRIPT", str(tmp_path / "script.py")))

    return write
