"""What the tests of probes share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mminf import api
from mminf.engine.probe import ProbeResult

SCRIPT = """
import os
from mminf.request import Generation

def answer(request):
    text = request.turns[-1].text
    with open(os.environ["CALLS_LOG"], "a") as file:
        file.write(text + "\\n")
    number = int(text.split()[-1].split("/")[0])
    if text.startswith("Good"):
        return "Yes" if number % KEPT == 0 else "No"
    return Generation(f"said {number}", "stop", 100, 10)
"""
RECIPE = """
name: probed
engines: {m: {backend: scripted, script: SCRIPT}}
source: {jsonl: rows.jsonl}
steps:
  - generate: {name: ask, engine: m, prompt: "Ask {{ n }}", writes: said}
  - check: {name: good, engine: m, prompt: "Good? {{ n }}"}
  - keep: good
  - generate: {name: more, engine: m, prompt: "More {{ n }}", writes: more}
sinks: [{jsonl: out.jsonl}]
"""


def probe(path: Path, output: Path, records: int = 10, *, limit: int | None = None, **settings: Any) -> ProbeResult:
    """Probes a recipe."""
    loaded = api.load(path, overrides=settings)
    return api.probe(api.prepare(loaded, output=output, limit=limit), records=records)


def made(log: Path) -> list[str]:
    """Returns the calls that were made since the last time."""
    lines = log.read_text().splitlines()
    log.write_text("")
    return lines
