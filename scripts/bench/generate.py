"""Compares the transformers backend with plain `model.generate` at the same batch sizes: hooks per second.

    python scripts/bench/generate.py [--batches 16 64 256] [--images 1024]

Both use the demo model on the device that transformers chooses, the same images, and samples of equal length. Plain is
what a script would do: open a batch of images, process it, generate, decode; one batch after the other. mminf runs the
hook step of Oasis with its journal on an engine that stays loaded. They take turns, three rounds each.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from frontend import draw, versions

from mminf import api
from mminf.backend.builtin import find_model
from mminf.executor.local import LocalExecutor

TOKENS, ROUNDS, SIDE = 32, 3, 336
SAMPLING = {"temperature": 1.0, "top_k": 20, "max_tokens": TOKENS, "min_tokens": TOKENS}
PROMPT = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
    "<|vision_start|><|image_pad|><|vision_end|>"
)


def plain(images: Path, batch: int, model: Any, processor: Any) -> float:
    """Returns the seconds that plain `model.generate` takes."""
    from PIL import Image

    started = time.perf_counter()
    paths = sorted(images.iterdir())
    for begin in range(0, len(paths), batch):
        opened = [Image.open(path).convert("RGB") for path in paths[begin : begin + batch]]
        inputs = processor(text=[PROMPT] * len(opened), images=opened, return_tensors="pt", padding=True)
        made = model.generate(
            **inputs.to(model.device),
            do_sample=True,
            temperature=1.0,
            top_k=20,
            max_new_tokens=TOKENS,
            min_new_tokens=TOKENS,
        )
        processor.batch_decode(made[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return time.perf_counter() - started


def prepare(images: Path, batch: int, output: Path, dtype: str) -> Any:
    """Returns a run of the hook step alone."""
    engine = {"backend": "transformers", "model": "builtin:demo", "max_pixels": 12544, "torch_dtype": dtype}
    engine["max_batch_size"] = batch
    steps = api.load("oasis", profile="demo", input=images).steps
    changes: dict[str, Any] = {f"steps.{step.name}": False for step in steps if step.name != "hook"}
    changes |= {"engines.vlm": engine, "engines.llm": engine, "sinks": [{"jsonl": "out.jsonl"}]}
    changes |= {"steps.hook.sampling": SAMPLING, "steps.hook.attempts": 1}
    shutil.rmtree(output, ignore_errors=True)
    return api.prepare(api.load("oasis", profile="demo", input=images, overrides=changes), output=output)


async def _nothing() -> None:
    return None


async def ours(run: Any, backend: Any) -> float:
    """Returns the seconds that mminf takes on a loaded backend."""
    for engine in run.session.engines.values():
        engine.backend, engine._loaded = backend, True
        engine.close = _nothing
    started = time.perf_counter()
    await LocalExecutor().work(run)
    return time.perf_counter() - started


async def bench(batches: list[int], number: int, folder: Path) -> None:
    """Measures and prints."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = "bfloat16" if device == "cuda" else "float32"
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    path = find_model("builtin:demo").folder
    model = AutoModelForImageTextToText.from_pretrained(path, dtype=getattr(torch, dtype)).to(device).eval()
    processor = AutoProcessor.from_pretrained(path)
    processor.tokenizer.padding_side = "left"
    print(f"{name}, {dtype}, {number} images of {SIDE} pixels, {TOKENS} tokens each", flush=True)
    images = folder / "images"
    draw(images, 0, number, (SIDE, SIDE))
    for batch in batches:
        backend = prepare(images, batch, folder / "out", dtype).session.engines["vlm"].backend
        await asyncio.to_thread(backend.load)
        few = folder / f"few{batch}"
        draw(few, 10**6, batch, (SIDE, SIDE))
        await asyncio.to_thread(plain, few, batch, model, processor)
        await ours(prepare(few, batch, folder / "out", dtype), backend)
        seconds: dict[str, list[float]] = {"plain": [], "mminf": []}
        for turn in range(ROUNDS):
            for side in ("plain", "mminf") if turn % 2 else ("mminf", "plain"):
                if side == "plain":
                    seconds[side].append(await asyncio.to_thread(plain, images, batch, model, processor))
                else:
                    seconds[side].append(await ours(prepare(images, batch, folder / "out", dtype), backend))
        rates = {side: number / statistics.median(found) for side, found in seconds.items()}
        shown = {side: ", ".join(f"{number / one:.0f}" for one in found) for side, found in seconds.items()}
        print(f"batches of {batch}: plain {shown['plain']} /s; mminf {shown['mminf']} /s:", end=" ")
        print(f"{rates['mminf'] / rates['plain']:.1%} (medians)", flush=True)
        await backend.close()


def main() -> None:
    """Reads the arguments and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="*", default=[16, 64, 256])
    parser.add_argument("--images", type=int, default=1024)
    wanted = parser.parse_args()
    print(versions())
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(bench(wanted.batches, wanted.images, Path(folder)))


if __name__ == "__main__":
    main()
