"""Runs of a recipe with one sink."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mminf import api

RECIPE = """
name: {name}
engines: {{s: {{backend: scripted, script: s.py}}}}
source: {{jsonl: rows.jsonl}}
max_same_failures: null
steps: [generate: {{engine: s, prompt: '{{{{ q }}}}', attempts: 1}}]
sinks: [{sink}]
"""
SCRIPT = """
import os
def answer(request):
    if request.turns[0].text in os.environ.get("BROKEN", "").split():
        raise ValueError("broken")
    return "hi"
"""
Make = Callable[..., Path]


def run(recipe: Path, output: Path, **options: Any) -> Any:
    return api.run(recipe, output=output, **options)
