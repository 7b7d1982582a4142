"""Compares Oasis with a chain of scripts over `LLM.generate`: step by step, in batches of 128, as MM-INF runs it.

    python scripts/bench/chain.py [--images 1536]

Both run on the installed vLLM with the demo model, each in a process of its own with an engine of its own that is
loaded before, and take turns. Images of 112 pixels; prompts, sampling and thresholds are those of the recipe's demo
profile. The chain scores all four axes of every instruction, and filters at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import frontend
from frontend import MAX_LEN, SHARE, draw, start, versions

BATCH = 128
ROUNDS = 3
SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
SCORES = ("solvability", "hallucination", "clarity", "nonsense")


def serve(run: Callable[[Path], dict[str, Any]]) -> None:
    """Runs Oasis over each folder that is named on a line, and prints what it made."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries also print to stdout
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        started, cpu = time.perf_counter(), frontend.cpu_seconds()
        found = run(Path(json.loads(line)["folder"]))
        took = {"seconds": time.perf_counter() - started, "cpu": frontend.cpu_seconds() - cpu}
        print(json.dumps({**found, **took}), file=out, flush=True)


def run_vllm() -> None:
    """The chain: each step over all rows, in batches with a barrier after each."""
    from PIL import Image
    from vllm import LLM, SamplingParams

    from mminf.backend.builtin import find_model
    from mminf.content import content_folder
    from mminf.template import Template

    llm = LLM(
        str(find_model("builtin:demo").folder),
        max_model_len=MAX_LEN,
        gpu_memory_utilization=SHARE,
        enforce_eager=True,
        seed=0,
        mm_processor_kwargs={"min_pixels": 12544, "max_pixels": 12544},
    )
    folder = content_folder("templates") / "oasis"
    templates = {name: Template((folder / f"{name}.jinja").read_text()) for name in ("classify", *SCORES)}

    def prompt(name: str, row: dict[str, Any]) -> str:
        (turn,) = templates[name].render({**row, "images": [""]})
        text = "".join(part if isinstance(part, str) else IMAGE for part in turn.parts)
        return f"{SYSTEM}<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"

    def answers(rows: list[dict[str, Any]], make: Callable[[dict[str, Any]], str], params: SamplingParams) -> list[str]:
        found = []
        for first in range(0, len(rows), BATCH):
            wanted = []
            for row in rows[first : first + BATCH]:
                text = make(row)
                image = {"multi_modal_data": {"image": Image.open(row["path"]).convert("RGB")}} if IMAGE in text else {}
                wanted.append({"prompt": text, **image})
            found += [answer.outputs[0].text for answer in llm.generate(wanted, params, use_tqdm=False)]
        return found

    def oasis(images: Path) -> dict[str, Any]:
        rows: list[dict[str, Any]] = [{"path": path} for path in sorted(images.iterdir())]
        calls = len(rows)
        hooked = SamplingParams(temperature=0.7, top_k=20, max_tokens=96, min_tokens=2)
        greedy = SamplingParams(temperature=0, max_tokens=96)
        for row, text in zip(rows, answers(rows, lambda _: f"{SYSTEM}<|im_start|>user\n{IMAGE}", hooked), strict=True):
            row["sampled_text"] = text
        calls += len(rows)
        for row, text in zip(rows, answers(rows, lambda row: prompt("classify", row), greedy), strict=True):
            row["instruction"] = text.partition("Instruction:")[2].strip()
        rows = [row for row in rows if row["instruction"]]
        for name in SCORES:
            calls += len(rows)
            for row, text in zip(rows, answers(rows, lambda row, name=name: prompt(name, row), greedy), strict=True):
                found = re.search(r"\d", text)
                row[name] = int(found[0]) if found else 0
        rows = [row for row in rows if is_kept(row)]
        calls += len(rows)
        respond = f"{SYSTEM}<|im_start|>user\n{IMAGE}"
        end = "<|im_end|>\n<|im_start|>assistant\n"
        answers(rows, lambda row: f"{respond}{row['instruction']}{end}", greedy)
        return {"calls": calls, "kept": len(rows)}

    serve(oasis)


def is_kept(row: dict[str, Any]) -> bool:
    """Returns whether the thresholds of the paper keep an instruction."""
    full = row["hallucination"] == 5 and row["nonsense"] == 5
    return full and min(row["solvability"], row["clarity"]) >= 3 and row["solvability"] + row["clarity"] >= 7


def run_mminf() -> None:
    """The recipe, with its journal and all its filters, on an engine that stays loaded."""
    from mminf import api
    from mminf.executor.local import LocalExecutor

    engine = {
        "backend": "vllm",
        "model": "builtin:demo",
        "max_pixels": 12544,
        "max_model_len": MAX_LEN,
        "gpu_memory_utilization": SHARE,
    }
    kept: list[Any] = []

    async def work(images: Path) -> dict[str, Any]:
        changes = {"engines.vlm": engine, "engines.llm": engine}
        output = Path(tempfile.mkdtemp())
        run = api.prepare(api.load("oasis", profile="demo", input=images, overrides=changes), output=output)
        for made in run.session.engines.values():
            if not kept:
                kept.append(made.backend)
                await asyncio.to_thread(made.backend.load)
            made.backend, made._loaded = kept[0], True
            made.close = frontend._nothing
        result = await LocalExecutor().work(run)
        calls = sum(step.calls for step in run.session.stats.steps.values())
        return {"calls": calls, "kept": result.counts.done}

    with asyncio.Runner() as runner:
        first = Path(tempfile.mkdtemp()) / "first"
        draw(first, 10**6, 1, (112, 112))
        runner.run(work(first))
        serve(lambda images: runner.run(work(images)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1536)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--side", choices=["vllm", "mminf"], help=argparse.SUPPRESS)
    wanted = parser.parse_args(arguments)
    if wanted.side:
        {"vllm": run_vllm, "mminf": run_mminf}[wanted.side]()
        return
    print(versions())
    found: dict[str, list[dict[str, Any]]] = {"vllm": [], "mminf": []}
    with tempfile.TemporaryDirectory() as name, start("vllm", __file__) as theirs, start("mminf", __file__) as ours:
        sides = {"vllm": theirs, "mminf": ours}
        draw(Path(name) / "warm", 10**6, 64, (112, 112))
        for side in sides.values():
            side.ask(Path(name) / "warm")
        for turn in range(wanted.rounds):
            images = Path(name) / str(turn)
            draw(images, turn * wanted.images, wanted.images, (112, 112))
            for each in sorted(sides, reverse=bool(turn % 2)):
                found[each].append(sides[each].ask(images))
    for each, rounds in found.items():
        for one in rounds:
            rate = one["calls"] / one["seconds"]
            print(
                f"{each}: {one['calls']} calls in {one['seconds']:.1f} s ({rate:.0f}/s), {one['kept']} rows;", end=" "
            )
            print(f"  {one['cpu']:.1f} CPU-s in the front end")
    seconds = {each: statistics.median(one["seconds"] for one in rounds) for each, rounds in found.items()}
    rates = {each: statistics.median(one["calls"] / one["seconds"] for one in rounds) for each, rounds in found.items()}
    print(f"mminf takes 1/{seconds['vllm'] / seconds['mminf']:.2f} of the time; calls per second", end=" ")
    print(f"{rates['mminf'] / rates['vllm']:.1%} of the chain's (medians)")
    each = {name: statistics.median(one["seconds"] / one["kept"] for one in rounds) for name, rounds in found.items()}
    print(f"per row: 1/{each['vllm'] / each['mminf']:.2f} of the time (medians)")


if __name__ == "__main__":
    main()
