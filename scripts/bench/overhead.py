"""Measures the overhead of mminf, compared with the least code that makes the same calls. No model is involved.

    python scripts/bench/overhead.py [scripted] [http] [kill] [resume] [startup]

Text records with the steps of Oasis, the journal on, 64 calls in flight. Each figure is printed next to its baseline
from the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import mminf
from mminf.backend.client import Client
from mminf.backend.scripted import ScriptedBackend, ScriptedConfig
from mminf.journal import Journal
from mminf.request import Request, Sampling
from mminf.turns import Turn

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
MMINF = [sys.executable, "-c", "from mminf.cli.main import main; main()"]
IN_FLIGHT, ROUNDS = 64, 3
NO_FILTERS = [
    f"steps.{name}=false"
    for name in ("degenerate_instruction", "refused_instruction", "refusal", "degenerate", "language")
]
"""Settings without the steps that read texts and call no model: what is left is the engine's own overhead."""
SCRIPT = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
from mock_server import answer as say

def answer(request):
    return say(request.turns[-1].text, request.open_turn == "user", request.seed)
"""


class Cost(NamedTuple):
    """CPU-seconds of this process, wall seconds, calls."""

    cpu: float
    wall: float
    calls: int

    @property
    def a_thousand(self) -> float:
        return 1000 * self.cpu / self.calls


@contextlib.contextmanager
def measured() -> Iterator[list[float]]:
    """Yields a list. It contains CPU and wall seconds after the block."""
    found = [time.process_time(), time.perf_counter()]
    yield found
    found[:] = [time.process_time() - found[0], time.perf_counter() - found[1]]


def write_rows(folder: Path, records: int) -> Path:
    """Writes text records into a JSONL file and returns its path."""
    rows = folder / "rows.jsonl"
    with rows.open("w") as file:
        file.writelines(f'{{"id": "{n}", "images": []}}\n' for n in range(records))
    return rows


def settings(engine: str) -> list[str]:
    """Returns settings that make the recipe use one engine for both parts, without images."""
    found = [
        f"engines.vlm={engine}",
        f"engines.llm={engine}",
        "steps.hook.images=false",
        "steps.respond.images=optional",
    ]
    for name in ("solvability", "hallucination", "clarity"):
        text = (ROOT / "templates" / "oasis" / f"{name}.jinja").read_text().replace("{{ images }}", "")
        found += [f"steps.{name}.template=null", f"steps.{name}.prompt={json.dumps(text)}"]
        found += [f"steps.{name}.languages=[]"]
    return found


def run_recipe(folder: Path, records: int, engine: str, more: Sequence[str] = ()) -> Cost:
    """Runs the Oasis recipe over text records."""
    output = folder / "out"
    shutil.rmtree(output, ignore_errors=True)
    rows = write_rows(folder, records)
    with measured() as cost:
        mminf.run("oasis", input=rows, output=output, settings=[*settings(engine), *more])
    with Journal(output) as journal:
        calls = sum(step.calls for step in journal.memo.totals().values())
    return Cost(cost[0], cost[1], calls)


def scripted_engine(folder: Path, latency: float) -> str:
    (folder / "script.py").write_text(SCRIPT)
    return f"{{backend: scripted, script: {folder}/script.py, latency: {latency}, max_concurrency: {IN_FLIGHT}}}"


def bench_scripted(folder: Path, records: int) -> None:
    """Measures the overhead without latency, and the share of the ideal rate with 50 ms."""
    for name, more in (("Oasis", []), ("Oasis without text filters", NO_FILTERS)):
        run_recipe(folder, 50, scripted_engine(folder, 0), more)
        costs = sorted(run_recipe(folder, records, scripted_engine(folder, 0), more) for _ in range(ROUNDS))
        cost = costs[ROUNDS // 2]
        least = bare_loop(folder, cost.calls, 0)
        print(f"scripted, {name}, no latency, {records} records, {cost.calls} calls, median of {ROUNDS}:")
        print(f"  mminf {cost.a_thousand:.3f} CPU-s per 1,000 calls; bare loop {least.a_thousand:.3f}")
    cost = run_recipe(folder, records, scripted_engine(folder, 0.05))
    least = bare_loop(folder, cost.calls, 0.05)
    ideal = cost.calls / IN_FLIGHT * 0.05
    print(
        f"scripted, 50 ms latency: {cost.wall:.2f} s; ideal {ideal:.2f} s: {ideal / cost.wall:.1%} of its rate;",
        end=" ",
    )
    print(f"bare loop {least.wall:.2f} s: {least.wall / cost.wall:.1%} of its rate")


def bare_loop(folder: Path, calls: int, latency: float) -> Cost:
    """Makes the same number of calls to the scripted engine, in a bare loop."""
    backend = ScriptedBackend(ScriptedConfig(backend="scripted", script=folder / "script.py", latency=latency))
    backend.load()
    request = Request((Turn("user", ("hello",)),), (), Sampling(), "user", 0)

    async def ask() -> None:
        todo = iter(range(calls))

        async def work() -> None:
            for _ in todo:
                await backend.generate(request)

        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))

    with measured() as least:
        asyncio.run(ask())
    return Cost(least[0], least[1], calls)


@contextlib.contextmanager
def mock_server(latency: float, log: Path | None = None, first: Path | None = None) -> Iterator[str]:
    """Yields the address of a mock server in a separate process."""
    command = [sys.executable, str(HERE / "mock_server.py"), "--latency", str(latency)]
    command += ["--log", str(log)] if log is not None else []
    command += ["--first", str(first)] if first is not None else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
        finally:
            process.kill()


def http_engine(url: str) -> str:
    return f"{{backend: openai, model: mock, base_url: '{url}', max_concurrency: {IN_FLIGHT}}}"


class Whole(NamedTuple):
    """A client as a whole process: CPU-seconds with its start, seconds until its first request, calls."""

    cpu: float
    first: float
    calls: int

    @property
    def a_thousand(self) -> float:
        return 1000 * self.cpu / self.calls


def whole_process(command: list[str], calls: int, folder: Path) -> Whole:
    """Runs a client against a new mock server. `{url}` in its command becomes the server's address."""
    mark = folder / "first"
    mark.unlink(missing_ok=True)
    with mock_server(0, first=mark) as url:
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
        made = [part.replace("{url}", url) for part in command]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return Whole(cpu, float(mark.read_text()) - started, calls)


def bench_http(folder: Path, records: int) -> None:
    """Measures `mminf run` over HTTP as a whole process, next to a bare aiohttp loop that posts the same bodies."""
    for name, more in (("Oasis", []), ("Oasis without text filters", NO_FILTERS)):
        found: dict[int, dict[str, list[Whole]]] = {}
        for number in (records, 4 * records):
            bodies, rows, output = folder / "bodies", write_rows(folder, number), folder / "out"
            calls = record_bodies(folder, number, bodies, more)
            ours = [*MMINF, "run", "oasis", "--input", str(rows), "--output", str(output), "--quiet"]
            for setting in [*settings(http_engine("{url}")), *more]:
                ours += ["--set", setting]
            bare = [sys.executable, str(HERE / "bare_loop.py"), "{url}", str(bodies), str(folder / "answers")]
            found[number] = {"mminf": [], "loop": []}
            for _ in range(ROUNDS):
                shutil.rmtree(output, ignore_errors=True)
                found[number]["mminf"].append(whole_process(ours, calls, folder))
                found[number]["loop"].append(whole_process(bare, calls, folder))
        print(f"HTTP, {name}, whole process, no latency, {IN_FLIGHT} in flight, medians of {ROUNDS}:")
        middle = {
            number: {side: sorted(runs, key=lambda run: run.cpu)[ROUNDS // 2] for side, runs in sides.items()}
            for number, sides in found.items()
        }
        for number, sides in middle.items():
            mine, theirs = sides["mminf"], sides["loop"]
            print(
                f"  {number} records, {mine.calls} calls: mminf {mine.a_thousand:.3f} CPU-s per 1,000 calls,", end=" "
            )
            print(f"loop {theirs.a_thousand:.3f}: {mine.cpu / theirs.cpu:.2f} x;", end=" ")
            firsts = {side: sorted(run.first for run in runs)[ROUNDS // 2] for side, runs in found[number].items()}
            print(f"first request after {firsts['mminf']:.2f} s, loop {firsts['loop']:.2f} s")
        few, many = middle[records], middle[4 * records]
        each = {side: 1000 * (many[side].cpu - few[side].cpu) / (many[side].calls - few[side].calls) for side in few}
        print(f"  marginal: mminf {each['mminf']:.3f}, loop {each['loop']:.3f}: {each['mminf'] / each['loop']:.2f} x")


def record_bodies(folder: Path, records: int, path: Path, more: list[str]) -> int:
    """Writes the bodies of all requests of a run. Returns their number."""
    post, number = Client.post, 0

    async def keep(self: Client, payload: dict[str, Any], probe: Any = None) -> Any:
        nonlocal number
        number += 1
        file.write(json.dumps(payload, ensure_ascii=False).encode() + b"\n")
        return await post(self, payload, probe)

    with path.open("wb") as file, mock_server(0) as url:
        Client.post = keep  # type: ignore[method-assign]
        run_recipe(folder, records, http_engine(url), more)
        Client.post = post  # type: ignore[method-assign]
    return number


def bench_kill(folder: Path, records: int) -> None:
    """Kills a run half way and resumes it: which records are lost, and which calls are repeated."""
    log, output, rows = folder / "asked", folder / "killed", write_rows(folder, records)
    log.touch()
    shutil.rmtree(output, ignore_errors=True)
    with mock_server(0.05, log) as url:
        command = [
            sys.executable,
            "-m",
            "mminf.cli.main",
            "run",
            "oasis",
            "--input",
            str(rows),
            "--output",
            str(output),
        ]
        for setting in settings(http_engine(url)):
            command += ["--set", setting]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and len(log.read_bytes()) < 65 * records * 2:
                time.sleep(0.05)
            process.send_signal(signal.SIGKILL)
        before = len(log.read_text().splitlines())
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    asked = Counter(log.read_text().splitlines())
    with Journal(output) as journal:
        settled = journal.outcomes.count_final()
    repeated = sum(count - 1 for count in asked.values())
    print(f"SIGKILL after {before} calls of {sum(asked.values())}, {IN_FLIGHT} in flight, run again:")
    print(f"  {records - settled} of {records} records lost, {repeated} calls repeated")


def bench_resume(folder: Path, records: int) -> None:
    """Measures a second run over records that are all finished."""
    output = folder / "resume"
    rows = write_rows(folder, records)
    options: dict[str, Any] = {"input": rows, "output": output, "settings": settings(scripted_engine(folder, 0))}
    with measured() as first:
        mminf.run("oasis", **options)
    with measured() as again:
        mminf.run("oasis", **options)
    print(f"resume over {records:,} finished records: {again[1]:.1f} s (computing them took {first[1]:.0f} s)")
    shutil.rmtree(output)


def bench_startup() -> None:
    """Measures the start of the command line."""
    for arguments in (["--help"], ["validate", str(HERE.parent.parent / "recipes" / "oasis.yaml")]):
        seconds = []
        for _ in range(3):
            with measured() as cost:
                subprocess.run([*MMINF, *arguments], check=True, capture_output=True)
            seconds.append(cost[1])
        print(f"mminf {arguments[0]}: {min(seconds):.2f} s")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="all by default")
    parser.add_argument("--records", type=int, default=2000)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    print(f"Python {platform.python_version()}, aiohttp {version('aiohttp')}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        benches = {
            "scripted": lambda: bench_scripted(folder, arguments.records),
            "http": lambda: bench_http(folder, arguments.records),
            "kill": lambda: bench_kill(folder, arguments.records),
            "resume": lambda: bench_resume(folder, 50 * arguments.records),
            "startup": bench_startup,
        }
        for part in arguments.parts or benches:
            benches[part]()


if __name__ == "__main__":
    main()
