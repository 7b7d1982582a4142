"""Measures how long vLLM takes to load the demo model, with and without bytecode of the installed packages.

    python scripts/bench/load.py

Each load runs in a process of its own, twice: the first load includes the imports of the front end, as at the start of
a run, and the second does not, as at a swap. Without bytecode is what `uv pip install` leaves, if Python may not write
it (`PYTHONDONTWRITEBYTECODE`).
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time

ENGINE = {"backend": "vllm", "model": "builtin:demo", "max_pixels": 12544, "max_model_len": 4096}


async def load_twice() -> list[float]:
    """Returns the seconds of two loads, and of the unload between them."""
    from mminf.backend.vllm.backend import VllmBackend, VllmConfig

    backend = VllmBackend(VllmConfig(**ENGINE, gpu_memory_utilization=0.15))
    seconds = []
    for step in (backend.load, None, backend.load):
        started = time.perf_counter()
        await (asyncio.to_thread(step) if step is not None else backend.close())
        seconds.append(time.perf_counter() - started)
    await backend.close()
    return seconds


def main() -> None:
    """Measures and prints."""
    if sys.argv[1:] == ["--load"]:
        out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        print(*(f"{value:.1f}" for value in asyncio.run(load_twice())), file=out, flush=True)
        return
    for name, more in (("with bytecode", {}), ("without", {"PYTHONPYCACHEPREFIX": os.devnull})):
        variables = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **more}
        command = [sys.executable, __file__, "--load"]
        found = subprocess.run(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        first, closed, again = found.stdout.split()[-3:]
        print(f"{name}: first load {first} s, unloaded in {closed} s, second load {again} s", flush=True)


if __name__ == "__main__":
    main()
