"""Retries are counted for steps, for items of a list, and for samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import mminf
from mminf import api

SCRIPT = """
def answer(request):
    # The first attempt of each call gives an empty answer; its seed is not among those seen.
    text = request.turns[-1].text
    seen[text, request.seed] = True
    return "" if sum(1 for known, _ in seen if known == text) <= bad else "fine"

seen, bad = {}, BAD
"""
STEPS = {
    "step": ("generate: {engine: s, prompt: '{{ q }}', attempts: 3}", 2),
    "samples": ("generate: {engine: s, prompt: '{{ q }}', attempts: 3, n: 1, into: found}", 2),
    "items": ("generate: {engine: s, for_each: {field: parts, item: part}, prompt: '{{ part }}', attempts: 3}", 4),
    "hook": ("hook: {engine: s, images: optional, attempts: 3}", 2),
}


@pytest.mark.parametrize("kind", STEPS)
def test_retries_are_counted(
    kind: str, write_recipe: Callable[[str], Path], rows: Callable[..., Path], tmp_path: Path
) -> None:
    step, expected = STEPS[kind]
    rows({"id": "a", "q": "one", "parts": ["one", "two"]})
    (tmp_path / "s.py").write_text(SCRIPT.replace("BAD", "2"))
    recipe = write_recipe(
        f"""
engines: {{s: {{backend: scripted, script: {tmp_path}/s.py}}}}
source: {{jsonl: rows.jsonl}}
steps: [{step}]
sinks: [{{jsonl: {{path: o.jsonl, columns: [id]}}}}]
"""
    )
    made = api.prepare(mminf.load(recipe), output=tmp_path / "out")
    assert api.execute(made).counts.done == 1
    assert sum(found.retries for found in made.session.stats.steps.values()) == expected
    again = api.prepare(mminf.load(recipe), output=tmp_path / "out")
    api.execute(again)
    assert sum(found.retries for found in again.session.stats.steps.values()) == 0  # the outcome is in the journal
