"""The event loop of a run."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import mminf
from mminf.executor.loop import fewer_collections


def test_the_garbage_collector_is_as_before_after_a_run(
    write_recipe: Callable[[str], Path], rows: Callable[..., Path], tmp_path: Path
) -> None:
    """Collections are fewer while a run is active; the process may be a user's own."""
    rows({"id": "a", "q": "x"})
    (tmp_path / "s.py").write_text("import gc\n\ndef answer(request):\n    return str(gc.get_threshold()[0])\n")
    recipe = write_recipe(
        f"""
engines: {{s: {{backend: scripted, script: {tmp_path}/s.py}}}}
source: {{jsonl: rows.jsonl}}
steps: [generate: {{engine: s, prompt: x, writes: said}}]
sinks: [{{jsonl: {{path: o.jsonl, columns: [said]}}}}]
"""
    )
    before = gc.get_threshold()
    mminf.run(recipe, output=tmp_path / "out")
    assert '"said":"20000"' in (tmp_path / "out" / "o.jsonl").read_text().replace(" ", "")
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_runs_at_the_same_time_leave_the_collector_as_it_was() -> None:
    before = gc.get_threshold()
    first, second = fewer_collections(), fewer_collections()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert gc.get_threshold() == before
