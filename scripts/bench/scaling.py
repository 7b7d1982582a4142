"""Compares N workers with N times one worker: processes, Ray tasks, endpoints. No model is involved.

    python scripts/bench/scaling.py [processes] [ray] [endpoints] [--workers 4] [--records 16000]

Each call takes 0.1 s, and a worker has 16 calls in flight. So the workers mostly wait, and few cores are sufficient. A
rate is the number of calls divided by the seconds from the start of the first call to the end of the last one. The
start of processes and the loading of models are not included.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
MMINF = [sys.executable, "-m", "mminf.cli.main"]
LATENCY, IN_FLIGHT = 0.1, 16
SCRIPT = """
import os, time

LOG = os.open(os.environ["TIMES_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def answer(request):
    os.write(LOG, f"{time.time():.4f}\\n".encode())
    return "yes"
"""
RECIPE = """
name: scaling
engines: {{llm: {engine}}}
source: {{jsonl: rows.jsonl}}
steps: [{{generate: {{engine: llm, prompt: "{{{{ text }}}}", writes: said}}}}]
sinks: [{{jsonl: out.jsonl}}]
"""


def prepare(folder: Path, records: int, engine: str) -> Path:
    """Writes a recipe and its rows. Returns the path of the recipe."""
    (folder / "script.py").write_text(SCRIPT)
    with (folder / "rows.jsonl").open("w") as file:
        file.writelines(f'{{"id": "r{n}", "text": "question {n}"}}\n' for n in range(records))
    (folder / "recipe.yaml").write_text(RECIPE.format(engine=engine))
    return folder / "recipe.yaml"


def scripted(folder: Path) -> str:
    return f"{{backend: scripted, script: {folder}/script.py, latency: {LATENCY}, max_concurrency: {IN_FLIGHT}}}"


def run(folder: Path, recipe: Path, name: str, *options: str, **env: str) -> tuple[float, float]:
    """Runs a recipe. Returns calls per second while calls were made, and wall seconds of the whole command."""
    log = folder / f"{name}.log"
    started = time.perf_counter()
    command = [*MMINF, "run", str(recipe), "--output", str(folder / name), "--quiet", *options]
    subprocess.run(command, env={**os.environ, **env, "TIMES_LOG": str(log)}, check=True)
    wall = time.perf_counter() - started
    times = [float(line) for line in log.read_text().split()]
    return len(times) / (max(times) - min(times) + LATENCY), wall


def show(name: str, one: tuple[float, float], many: tuple[float, float], workers: int) -> None:
    share = many[0] / (workers * one[0])
    print(
        f"{name:<10} {one[0]:8.1f} calls/s with 1, {many[0]:8.1f} with {workers}: {share:.1%} of {workers} times one "
        f"(whole command {one[1]:.1f} s and {many[1]:.1f} s)",
        flush=True,
    )


def bench_processes(folder: Path, records: int, workers: int) -> None:
    """Measures ranks under torchrun; one worker is a plain run of its share of the records."""
    share = prepare(folder, records // workers, scripted(folder))
    one = run(folder, share, "process")
    many = run(folder, prepare(folder, records, scripted(folder)), "processes", NPROC_PER_NODE=str(workers))
    show("processes", one, many, workers)


def bench_ray(folder: Path, records: int, workers: int) -> None:
    """Measures Ray tasks, with two shards per worker; Ray is told that there is one core per worker."""
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["TIMES_LOG"] = str(folder / "ray.log")
    found = {}
    for name, number in (("ray-one", 1), ("ray-many", workers)):
        os.environ["TIMES_LOG"] = str(folder / f"{name}.log")
        ray.init(num_cpus=number, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        try:
            recipe = prepare(folder, records * number // workers, scripted(folder))
            address = ray.get_runtime_context().gcs_address
            options = ["--executor", "ray", "--address", address, "--workers", str(number), "--shards", str(2 * number)]
            found[name] = run(folder, recipe, name, *options)
        finally:
            ray.shutdown()
    show("ray", found["ray-one"], found["ray-many"], workers)


@contextlib.contextmanager
def servers(number: int) -> Iterator[list[str]]:
    """Yields the addresses of mock servers, one process each."""
    command = [sys.executable, str(HERE / "mock_server.py"), "--latency", str(LATENCY)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(number)]
    try:
        ports = [process.stdout.readline().strip() for process in processes if process.stdout is not None]
        yield [f"http://127.0.0.1:{port}/v1" for port in ports]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def bench_endpoints(folder: Path, records: int, workers: int) -> None:
    """Measures endpoints, each with a limit, used by one process. The rates are over the wall time of the run."""
    import mminf
    from mminf import api

    found = []
    with servers(workers) as urls:
        for number in (1, workers):
            limits = ", ".join(f"{{url: '{url}', max_concurrency: {IN_FLIGHT}}}" for url in urls[:number])
            engine = f"{{backend: openai, model: mock, base_url: [{limits}]}}"
            recipe = prepare(folder, records * number // workers, engine)
            started = time.perf_counter()
            result = mminf.run(recipe, output=folder / f"endpoints-{number}")
            wall = time.perf_counter() - started
            assert api.status(result.output)["failed"] == 0
            found.append((result.calls / wall, wall))
    show("endpoints", found[0], found[1], workers)


BENCHES = {"processes": bench_processes, "ray": bench_ray, "endpoints": bench_endpoints}


def main() -> None:
    """Reads the arguments and measures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", nargs="*", choices=[*BENCHES, []], help="all by default")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--records", type=int, default=16000)
    arguments = parser.parse_args()
    for name in arguments.what or BENCHES:
        with tempfile.TemporaryDirectory() as folder:
            BENCHES[name](Path(folder), arguments.records, arguments.workers)


if __name__ == "__main__":
    main()
