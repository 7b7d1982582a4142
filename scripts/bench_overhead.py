"""What mminf itself costs: the Oasis recipe on a scripted engine, beside a bare asyncio loop that makes the same calls.

    python scripts/bench_overhead.py --records 2000

Prints CPU-seconds per 1,000 calls of both, and how near to the ideal rate both come where every call takes 50 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import mminf
from mminf.backend.scripted import ScriptedBackend, ScriptedConfig
from mminf.journal import Journal
from mminf.request import Request, Sampling
from mminf.text import Turn

SCRIPT = """
def answer(request):
    text = "".join(turn.text for turn in request.turns)
    if request.open_turn == "user":
        return f"What is shown here ({request.seed})?"
    if "[Begin of Text]" in text:
        return "Instruction: What is shown here?"
    return "[[5]]" if "square brackets" in text else "A picture."
"""
CALLS_A_RECORD = 7


def run_recipe(folder: Path, records: int, latency: float, window: int) -> tuple[float, float, int]:
    """Returns (CPU-seconds, wall seconds, calls) of a run over text records, journal on."""
    output = folder / "out"
    shutil.rmtree(output, ignore_errors=True)
    rows = folder / "rows.jsonl"
    rows.write_text("".join(f'{{"id": "{n}", "images": []}}\n' for n in range(records)))
    engine = f"{{backend: scripted, script: {folder / 'script.py'}, latency: {latency}}}"
    settings = [f"engines.vlm={engine}", f"engines.llm={engine}", "steps.hook.images=false", f"window={window}"]
    cpu, wall = time.process_time(), time.perf_counter()
    mminf.run("oasis", input=rows, output=output, settings=settings)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    with Journal(output) as journal:
        return cpu, wall, sum(int(step["calls"]) for step in journal.totals().values())


def run_bare(folder: Path, records: int, latency: float, window: int) -> tuple[float, float, int]:
    """The same calls in a loop of `window` workers, with nothing around them."""
    backend = ScriptedBackend(ScriptedConfig(backend="scripted", script=folder / "script.py", latency=latency))
    backend.load()

    async def work(todo: Any) -> None:
        for number in todo:
            request = Request((Turn("user", ("hello",)),), (), Sampling(), "user", number)
            for _ in range(3):  # hook, classify; four scores at once; response
                await backend.generate(request)
            await asyncio.gather(*(backend.generate(request) for _ in range(4)))

    async def all_workers() -> None:
        todo = iter(range(records))
        await asyncio.gather(*(work(todo) for _ in range(window)))

    cpu, wall = time.process_time(), time.perf_counter()
    asyncio.run(all_workers())
    return time.process_time() - cpu, time.perf_counter() - wall, records * CALLS_A_RECORD


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=2000)
    parser.add_argument("--window", type=int, default=64)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "script.py").write_text(SCRIPT)
        run_recipe(folder, 50, 0, 8)  # imports and caches
        print(f"{arguments.records} text records of Oasis shape, {arguments.window} in flight, journal on")
        cpu, _, calls = run_recipe(folder, arguments.records, 0, arguments.window)
        bare, _, bare_calls = run_bare(folder, arguments.records, 0, arguments.window)
        print(f"no latency: mminf {1000 * cpu / calls:.3f} CPU-s per 1,000 calls ({calls} calls),", end=" ")
        print(f"bare loop {1000 * bare / bare_calls:.3f}; ratio {cpu / calls / (bare / bare_calls):.1f}")
        few = max(1, arguments.records // 4)
        _, wall, calls = run_recipe(folder, few, 0.05, arguments.window)
        _, bare_wall, _ = run_bare(folder, few, 0.05, arguments.window)
        print(f"50 ms latency, {few} records: mminf {wall:.2f} s, bare loop {bare_wall:.2f} s;", end=" ")
        print(f"{bare_wall / wall:.0%} of its rate")


if __name__ == "__main__":
    main()
