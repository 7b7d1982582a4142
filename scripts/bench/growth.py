"""Measures whether a run gets larger or slower with its number of records. No model is involved.

    python scripts/bench/growth.py [memory] [million]

Text records with the steps of Oasis, as in overhead.py. Each part runs in a process of its own.
"""

from __future__ import annotations

import argparse
import logging
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
from overhead import scripted_engine, settings, write_rows

import mminf
from mminf import api


def bench_memory(folder: Path, few: int, many: int) -> None:
    """Measures the resident memory after a few records and after very many."""
    command = [sys.executable, __file__, "_memory", str(folder), str(few), str(many)]
    print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="")


def memory_process(folder: Path, few: int, many: int) -> None:
    """Runs in a separate process, so that only its memory counts."""
    process, output = psutil.Process(), folder / "memory"
    prepared = api.prepare(
        mminf.load("oasis", input=write_rows(folder, many), settings=settings(scripted_engine(folder, 0))),
        output=output,
    )
    found: dict[int, int] = {}

    def watch() -> None:
        while not (found.get(few) and prepared.session.stats.settled >= many - 1):
            if prepared.session.stats.settled >= few and few not in found:
                found[few] = process.memory_info().rss
            time.sleep(0.02)

    threading.Thread(target=watch, daemon=True).start()
    api.execute(prepared)
    last = process.memory_info().rss
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    calls = sum(step.calls for step in prepared.session.stats.steps.values())
    print(
        f"memory, {calls} calls: RSS {found[few] / 2**20:.0f} MB at {few:,} records, {last / 2**20:.0f} MB at {many:,}",
        end="",
    )
    print(f" (peak {peak / 2**20:.0f} MB): {(last - found[few]) / 2**20:+.0f} MB")
    shutil.rmtree(output)


def bench_million(folder: Path, few: int, many: int) -> None:
    """Measures the rate of a run at its beginning and at its end, and the size of its journal."""
    command = [sys.executable, __file__, "_million", str(folder), str(few), str(many)]
    print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="")


def million_process(folder: Path, few: int, many: int) -> None:
    """Runs in a separate process, of which nothing else takes CPU time."""
    output = folder / "million"
    prepared = api.prepare(
        mminf.load("oasis", input=write_rows(folder, many), settings=settings(scripted_engine(folder, 0))),
        output=output,
    )
    stats = prepared.session.stats
    marks: list[tuple[int, float, float]] = []
    """Records, CPU-seconds and wall seconds, at each mark."""

    def watch() -> None:
        for mark in (few // 10, few + few // 10, many - 10 * few, many - few // 10):
            while stats.settled < mark:
                time.sleep(0.01)
            marks.append((stats.settled, time.process_time(), time.perf_counter()))

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    api.execute(prepared)
    watching.join()
    (first, second, third, fourth) = marks
    for name, start, end in (("first", first, second), ("last", third, fourth)):
        records, cpu, wall = (after - before for before, after in zip(start, end, strict=True))
        print(
            f"{name} {records:,.0f} of {many:,} records: {records / cpu:.0f} per CPU-s, {records / wall:.0f} per second"
        )
    size = sum(path.stat().st_size for path in output.glob("*.sqlite*"))
    calls = sum(step.calls for step in stats.steps.values())
    print(f"journal: {size / many:,.0f} bytes per record of {calls / many:.2f} calls")
    shutil.rmtree(output)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="all by default")
    parser.add_argument("--records", type=int, default=10_000, help="records at the beginning of a run")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    apart = {"_memory": memory_process, "_million": million_process}
    if arguments.parts and arguments.parts[0] in apart:
        apart[arguments.parts[0]](Path(arguments.parts[1]), int(arguments.parts[2]), int(arguments.parts[3]))
        return
    with tempfile.TemporaryDirectory() as name:
        benches = {"memory": (bench_memory, 20), "million": (bench_million, 100)}
        for part in arguments.parts or benches:
            bench, times = benches[part]
            bench(Path(name), arguments.records, times * arguments.records)


if __name__ == "__main__":
    main()
