"""The lead of a run whose shards are processed by workers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from mminf import api
from mminf.engine.run import open_run
from mminf.errors import Interrupted
from mminf.sharding.coordinator import Coordinator
from mminf.sharding.phase import Phase

RECIPE = """
engines: {s: {backend: scripted, answer: yes it is}}
source: {jsonl: rows.jsonl}
steps: [generate: {engine: s, prompt: "{{ q }}", writes: said}]
sinks: [{jsonl: o.jsonl}]
"""


def test_an_interruption_before_the_run_has_begun_is_no_error(
    write_recipe: Callable[[str], Path], rows: Callable[..., Path], tmp_path: Path
) -> None:
    """Ranks may be stopped while they wait for each other, in an output without a journal."""
    rows({"id": "a", "q": "x"})
    run = open_run(api.load(write_recipe(RECIPE)), tmp_path / "out")
    result = Coordinator(run, 2).interrupted()
    assert (result.exit_code, result.counts.done, result.counts.pending) == (130, 0, None)

    async def stop(phase: Phase) -> None:
        raise Interrupted("by the user")

    async def lead() -> int:
        async with run.lead():
            return (await Coordinator(run, 2).run(stop)).exit_code

    assert asyncio.run(lead()) == 130
